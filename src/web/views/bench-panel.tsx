// Rates of the kernels and of the forward pass on this device.

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { type ForwardResult, formatRate, type KernelResult } from '../../bench/index.ts';
import type { BenchReport } from '../protocol/reading.ts';
import { doing, pair } from '../state/app.ts';
import { benchText } from '../state/bench-text.ts';
import { cancel, run } from '../state/engine.ts';
import { CopyButton } from './copy-button.tsx';
import { Panel } from './layout.tsx';
import { TuningPanel } from './tuning-panel.tsx';
import './reading.css';

/** Alternating turns of each measurement, as `notice bench` takes by default. */
const ROUNDS = 5;

/** Kept while other views are shown. */
const report = signal<BenchReport | undefined>(undefined);
const running = signal(false);

async function measure(): Promise<void> {
  running.value = true;
  report.value = undefined;
  await doing('Measuring this device', async () => {
    report.value = await run(
      'bench',
      { rounds: ROUNDS },
      {
        onEvent: (soFar) => {
          report.value = soFar;
        },
      },
    );
  });
  running.value = false;
}

export function BenchPanel(): JSX.Element {
  return (
    <>
      <Rating />
      <TuningPanel />
    </>
  );
}

function Rating(): JSX.Element {
  const found = report.value;
  return (
    <Panel title="This device">
      <p class="note">
        What <code>notice bench</code> measures: kernels at BLIP-VQA-base's shapes, each checked against
        64-bit arithmetic before it is timed, and the open model's forward pass. It takes about a minute;
        other work waits meanwhile.
      </p>
      <div class="controls">
        <button type="button" disabled={running.value || !pair.value} onClick={() => void measure()}>
          Measure
        </button>
        {running.value && (
          <button type="button" onClick={() => cancel('bench')}>
            Stop
          </button>
        )}
        {found && <CopyButton text={() => benchText(found)}>Copy as text</CopyButton>}
      </div>
      {found && <Machine report={found} />}
      {found && <Rates kernels={found.kernels} forward={found.forward} />}
    </Panel>
  );
}

function Machine({ report: { machine, peak } }: { readonly report: BenchReport }): JSX.Element {
  return (
    <dl class="numbers">
      <dt>Adapter</dt>
      <dd>
        {machine.adapter}
        {machine.software && ' (software)'}
      </dd>
      <dt>Features</dt>
      <dd>{machine.features.join(', ') || 'none'}</dd>
      <dt>Peak</dt>
      <dd>{peak ? `${formatRate({ flops: peak.flops })}, ${formatRate({ bytes: peak.bytes })}` : '…'}</dd>
      <dt>Limits</dt>
      <dd>
        <details>
          <summary>{Object.keys(machine.limits).length}</summary>
          {Object.entries(machine.limits).map(([name, value]) => (
            <div key={name}>
              {name} {value}
            </div>
          ))}
        </details>
      </dd>
    </dl>
  );
}

function Rates({
  kernels,
  forward,
}: {
  readonly kernels: readonly KernelResult[];
  readonly forward: readonly ForwardResult[];
}): JSX.Element {
  return (
    <div class="scrolling">
      <table>
        <caption>Medians of {ROUNDS} rounds</caption>
        <thead>
          <tr>
            <th scope="col">what</th>
            <th scope="col">ms</th>
            <th scope="col">rate</th>
            <th scope="col">of peak</th>
          </tr>
        </thead>
        <tbody>
          {kernels.map(({ name, ms, share, ...rate }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{ms.toFixed(3)}</td>
              <td>{formatRate(rate)}</td>
              <td>{(100 * share).toFixed(0)} %</td>
            </tr>
          ))}
          {forward.map(({ name, ms, flops, dispatches }) => (
            <tr key={name}>
              <th scope="row">
                {name}, {dispatches} dispatches
              </th>
              <td>{ms.toFixed(1)}</td>
              <td>{formatRate({ flops })}</td>
              <td />
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
