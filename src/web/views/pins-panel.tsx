// What is pinned, and what the patched run answers.

import type { JSX } from 'preact';
import type { PatchedAnswer } from '../protocol/patching.ts';
import type { CorruptionName, RunAnswer } from '../protocol/session.ts';
import { pair } from '../state/app.ts';
import { corruption, patched } from '../state/patched.ts';
import { activePins, canRedo, canUndo, pins, redo, removePins, undo } from '../state/pins.ts';
import { CutForm } from './cut-form.tsx';
import { Panel } from './layout.tsx';
import { signed } from './number-text.ts';
import { PatchBrush } from './patch-brush.tsx';
import { PinItem } from './pin-item.tsx';
import './maps.css';

export function PinsPanel(): JSX.Element {
  const list = pins.value;
  return (
    <Panel title="Patch" aside={<Steps />}>
      <Corruption />
      <PatchedRun />
      {list.length > 0 && (
        <ul class="pins" aria-label="Pinned">
          {list.map((pin) => (
            <PinItem key={pin.id} pin={pin} />
          ))}
        </ul>
      )}
      <PatchBrush />
      <CutForm />
    </Panel>
  );
}

function Steps(): JSX.Element {
  return (
    <span class="steps">
      <button type="button" disabled={!canUndo.value} onClick={undo}>
        Undo
      </button>
      <button type="button" disabled={!canRedo.value} onClick={redo}>
        Redo
      </button>
      <button
        type="button"
        disabled={pins.value.length === 0}
        onClick={() => removePins(pins.value.map(({ id }) => id))}
      >
        Clear
      </button>
    </span>
  );
}

/** Which corrupt run is patched. */
function Corruption(): JSX.Element {
  const names = (['image', 'text'] as const).filter((name) => pair.value?.corrupt[name]);
  return (
    <label>
      Patched run{' '}
      <select
        value={corruption.value}
        onChange={({ currentTarget }) => {
          corruption.value = currentTarget.value as CorruptionName;
        }}
      >
        {names.map((name) => (
          <option key={name} value={name}>
            corrupt {name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** The corrupt run's answer before and after. */
function PatchedRun(): JSX.Element {
  const shown = pair.value;
  const before = shown?.corrupt[corruption.value];
  const after = patched.value;
  return (
    <section class="patched-run" aria-label="Patched run" data-drop="corrupt-run">
      <table>
        <thead>
          <tr>
            <td />
            <th scope="col">corrupt</th>
            <th scope="col">patched</th>
          </tr>
        </thead>
        <tbody>
          <Row
            title="likeliest token"
            value={(run) => run.top[0]?.token ?? ''}
            before={before}
            after={after}
          />
          <Row
            title={`P(${shown?.spec.correct ?? 'correct'})`}
            value={(run) => run.pCorrect.toFixed(4)}
            before={before}
            after={after}
          />
          <Row
            title={`P(${shown?.spec.incorrect ?? 'incorrect'})`}
            value={(run) => run.pIncorrect.toFixed(4)}
            before={before}
            after={after}
          />
          <Row
            title="logit difference"
            value={(run) => signed(run.logitDifference, 4)}
            before={before}
            after={after}
          />
        </tbody>
      </table>
      <p class="note" aria-live="polite">
        {after ? effectText(after) : hint()}
      </p>
    </section>
  );
}

function effectText({ ldEffect, normalized, milliseconds }: PatchedAnswer): string {
  const share = Number.isFinite(normalized) ? `, ${percent(normalized)} restored` : '';
  return `LD′ − LD* ${signed(ldEffect)}${share} (${milliseconds.toFixed(0)} ms)`;
}

function percent(share: number): string {
  const whole = Math.round(100 * share);
  return `${whole < 0 ? '−' : ''}${Math.abs(whole)} %`;
}

function hint(): string {
  if (activePins.value.length > 0) return 'Running …';
  return 'Nothing is pinned: choose cells of a map, drag a head here, or paint on the picture.';
}

type Numbers = Omit<RunAnswer, 'answer'>;

function Row({
  title,
  value,
  before,
  after,
}: {
  readonly title: string;
  readonly value: (run: Numbers) => string;
  readonly before: Numbers | undefined;
  readonly after: Numbers | undefined;
}): JSX.Element {
  return (
    <tr>
      <th scope="row">{title}</th>
      <td>{before ? value(before) : '–'}</td>
      <td>{after ? value(after) : '–'}</td>
    </tr>
  );
}
