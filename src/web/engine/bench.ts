// Rates of this device, as `notice bench` measures them.

import { kernelCases, measureForward, measureKernel, measurePeak } from '../../bench/index.ts';
import type { Gpu } from '../../gpu/index.ts';
import type { BenchMachine, BenchReport, BenchSpec } from '../protocol/reading.ts';
import type { Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

/** Kernels at BLIP-VQA-base's shapes, then the open model's forward pass: the vision tower's, and all of it. */
export async function runBench(
  session: Session,
  { rounds }: BenchSpec,
  { signal, emit }: TaskContext<BenchReport>,
): Promise<BenchReport> {
  const { model, info } = session.opened;
  const { clean } = session.pair;
  let report: BenchReport = { machine: describeDevice(model.gpu), peak: undefined, kernels: [], forward: [] };
  const add = (more: Partial<BenchReport>) => {
    report = { ...report, ...more };
    emit(report);
  };
  const peak = await measurePeak(model.gpu, signal);
  add({ peak });
  for (const one of kernelCases()) {
    const { result } = await measureKernel(model.gpu, one, { rounds, peak, signal });
    add({ kernels: [...report.kernels, result] });
  }
  const vision = model.configs.find(({ name }) => name === 'vision');
  const passes = {
    ...(vision && { 'vision tower': `vision.blocks.${vision.layers - 1}.hook_resid_post` }),
    'whole model': undefined,
  };
  for (const [part, stopAfter] of Object.entries(passes)) {
    const name = `${info.name}, ${part}`;
    const result = await measureForward(model, clean, { name, stopAfter, rounds, signal });
    add({ forward: [...report.forward, result] });
  }
  return report;
}

/** What rates depend on. */
export function describeDevice({ capabilities }: Gpu): BenchMachine {
  const { vendor, architecture, description, software, features, subgroupSize, limits } = capabilities;
  return {
    adapter: [...new Set([vendor, architecture, description])].filter(Boolean).join(' · '),
    software,
    features: [...features],
    subgroupSize,
    limits: { ...limits },
    browser: navigator.userAgent,
    date: new Date().toISOString(),
  };
}
