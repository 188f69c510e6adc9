// What is pinned, applied to other pairs of the data set: what was seen on one picture holds, or does not.

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import type { ManyPoint, ManySummary } from '../protocol/patching.ts';
import { asked, others, patchOthers, points, stopMany, summary } from '../state/many.ts';
import { activePins } from '../state/pins.ts';
import { DotPlot } from './dot-plot.tsx';
import { Panel } from './layout.tsx';
import { signed } from './number-text.ts';
import { METRIC_TITLES } from './sweep-text.ts';
import './maps.css';

const EFFECTS = {
  ldEffect: METRIC_TITLES.ld_effect,
  pEffect: METRIC_TITLES.p_effect,
  normalized: METRIC_TITLES.normalized,
} as const satisfies Record<keyof ManySummary, string>;

type Effect = keyof ManySummary;
type Patched = Extract<ManyPoint, { kind: 'patched' }>;

const wanted = signal(10);
const shown = signal<Effect>('ldEffect');

export function PairsPanel(): JSX.Element {
  const patched = points.value.filter((point) => point.kind === 'patched');
  const leftOut = points.value.filter((point) => point.kind === 'left out');
  return (
    <Panel title="On n pairs" aside={<Start />}>
      <p class="note">
        What is pinned is applied to other pairs of the data set. A pinned token goes over to the token that
        plays the same part in their questions.
      </p>
      <label>
        Numbers{' '}
        <select
          value={shown.value}
          onChange={({ currentTarget }) => {
            shown.value = currentTarget.value as Effect;
          }}
        >
          {Object.entries(EFFECTS).map(([name, title]) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
        </select>
      </label>
      <p aria-live="polite" class="pairs-mean">
        {meanText(summary.value?.[shown.value])}
      </p>
      {patched.length > 0 && (
        <>
          <DotPlot
            title={`${EFFECTS[shown.value]}, one point for each of ${patched.length} pairs`}
            points={patched.flatMap((point) => {
              const value = point[shown.value];
              return Number.isFinite(value) ? [{ id: point.id, value }] : [];
            })}
            summary={summary.value?.[shown.value]}
          />
          <Table points={patched} />
        </>
      )}
      {leftOut.length > 0 && (
        <details>
          <summary>{leftOut.length} left out</summary>
          <ul>
            {leftOut.map(({ id, reason }) => (
              <li key={id}>
                {id}: {reason}
              </li>
            ))}
          </ul>
        </details>
      )}
    </Panel>
  );
}

function Start(): JSX.Element {
  const most = others.value.length;
  if (asked.value !== undefined)
    return (
      <span class="sweep-progress">
        <progress max={asked.value} value={points.value.length} aria-label="Pairs" />
        <button type="button" onClick={stopMany}>
          Stop
        </button>
      </span>
    );
  return (
    <span class="steps">
      <input
        type="number"
        aria-label="Number of pairs"
        min={1}
        max={most}
        value={wanted.value}
        onInput={({ currentTarget }) => {
          wanted.value = Math.max(1, Math.min(most, currentTarget.valueAsNumber || 1));
        }}
      />
      <button
        type="button"
        disabled={most === 0 || activePins.value.length === 0}
        onClick={() => void patchOthers(wanted.value)}
      >
        Apply
      </button>
    </span>
  );
}

function meanText(effect: ManySummary[Effect] | undefined): string {
  if (effect) {
    const { n, mean, low, high } = effect;
    return `Mean ${signed(mean)}, 95 % interval ${signed(low)} to ${signed(high)}, n = ${n}`;
  }
  if (others.value.length === 0)
    return 'The pair that is looked at is none of the embedded data: there are no others.';
  return activePins.value.length === 0 ? 'Nothing is pinned.' : '\u00a0';
}

function Table({ points: list }: { readonly points: readonly Patched[] }): JSX.Element {
  return (
    <details>
      <summary>Every pair’s numbers</summary>
      <table class="pairs-table">
        <thead>
          <tr>
            <th scope="col">pair</th>
            {Object.values(EFFECTS).map((title) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {list.map((point) => (
            <tr key={point.id}>
              <th scope="row">{point.id}</th>
              {(Object.keys(EFFECTS) as Effect[]).map((effect) => (
                <td key={effect}>{signed(point[effect])}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
