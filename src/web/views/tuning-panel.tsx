// The fastest kernels on this device.

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { tuningLine } from '../../bench/index.ts';
import type { TuningReport } from '../protocol/reading.ts';
import { doing, pair } from '../state/app.ts';
import { tuningText } from '../state/bench-text.ts';
import { cancel, run } from '../state/engine.ts';
import { CopyButton } from './copy-button.tsx';
import { Panel } from './layout.tsx';

const ROUNDS = 5;

/** Kept while other views are shown. */
const report = signal<TuningReport | undefined>(undefined);
const running = signal(false);

async function tune(): Promise<void> {
  running.value = true;
  report.value = undefined;
  await doing('Trying kernels', async () => {
    report.value = await run(
      'tune',
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

export function TuningPanel(): JSX.Element {
  const found = report.value;
  return (
    <Panel title="Fastest kernels">
      <p class="note">
        What <code>notice bench --tune</code> does: every candidate of every matrix product is run, its bits
        are compared, and the fastest is taken from the next time on that the page is opened. The table that
        can be copied is for an issue of the project: few devices have been measured.
      </p>
      <div class="controls">
        <button type="button" disabled={running.value || !pair.value} onClick={() => void tune()}>
          Try all
        </button>
        {running.value && (
          <button type="button" onClick={() => cancel('tune')}>
            Stop
          </button>
        )}
        {found && <CopyButton text={() => tuningText(found)}>Copy for an issue</CopyButton>}
      </div>
      {found && <pre class="scrolling">{found.results.map(tuningLine).join('\n')}</pre>}
    </Panel>
  );
}
