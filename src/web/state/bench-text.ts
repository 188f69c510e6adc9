// A bench as text that people send: the lines of `notice bench` under what they depend on.

import { forwardLine, kernelLine, tuningBlock } from '../../bench/index.ts';
import type { BenchMachine, BenchReport, TuningReport } from '../protocol/reading.ts';

export function benchText({ machine, peak, kernels, forward }: BenchReport): string {
  return [
    ...machineLines(machine),
    ...(peak
      ? [
          `measured peak: ${(peak.flops / 1e9).toPrecision(3)} GFLOP/s in registers, ${(peak.bytes / 1e9).toPrecision(3)} GB/s read`,
        ]
      : []),
    ...kernels.map(kernelLine),
    ...forward.map(forwardLine),
    '',
  ].join('\n');
}

/** Markdown for an issue. */
export function tuningText({ machine, results }: TuningReport): string {
  const { adapter, software, subgroupSize, features, browser, date } = machine;
  return tuningBlock(
    [
      ['adapter', `${adapter}${software ? ' (software)' : ''}`],
      ['subgroups', `${subgroupSize || 'of varying size'}`],
      ['features', features.join(', ') || 'none'],
      ['browser', browser],
      ['date', date.slice(0, 10)],
    ],
    results,
  );
}

function machineLines({
  date,
  adapter,
  software,
  subgroupSize,
  features,
  limits,
  browser,
}: BenchMachine): string[] {
  return [
    `${date.slice(0, 16).replace('T', ' ')} · ${adapter}${software ? ' (software)' : ''}, subgroups of ${subgroupSize || 'varying size'}`,
    browser,
    `features: ${features.join(', ') || 'none'}`,
    `limits: ${Object.entries(limits)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')}`,
  ];
}
