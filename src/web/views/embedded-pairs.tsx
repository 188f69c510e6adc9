// Which pair of the embedded data is looked at, and which of them the open model can be patched on.

import { useComputed } from '@preact/signals';
import type { JSX } from 'preact';
import type { EmbeddedPair } from '../protocol/embedded.ts';
import { choosePair, pair } from '../state/app.ts';
import { embeddedPairs, specOf } from '../state/first.ts';
import { checking, checkUsable, onlyUsable, stopChecking, usability } from '../state/usable.ts';

export function EmbeddedPairs(): JSX.Element {
  const id = pair.value?.spec.id;
  const set = id?.split('/')[0];
  const sets = useComputed(() => [...new Set(embeddedPairs.value.map((one) => setOf(one)))]);
  const list = embeddedPairs.value.filter(
    (one) =>
      setOf(one) === set && (!onlyUsable.value || one.id === id || usability.value.get(one.id) === 'usable'),
  );
  const at = list.findIndex((one) => one.id === id);
  return (
    <div class="pair-choice">
      <label>
        Data{' '}
        <select value={set ?? ''} onChange={({ currentTarget }) => chooseFirstOf(currentTarget.value)}>
          {!set && <option value="">your own</option>}
          {sets.value.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label class="pair-name">
        Pair{' '}
        <select
          value={id ?? ''}
          disabled={!set}
          onChange={({ currentTarget }) => choose(list.find((one) => one.id === currentTarget.value))}
        >
          {list.map((one) => (
            <option key={one.id} value={one.id}>
              {titleOf(one)}
            </option>
          ))}
        </select>
      </label>
      <span class="steps">
        <button
          type="button"
          aria-label="Previous pair"
          disabled={at <= 0}
          onClick={() => choose(list[at - 1])}
        >
          ‹
        </button>
        <button
          type="button"
          aria-label="Next pair"
          disabled={at < 0 || at >= list.length - 1}
          onClick={() => choose(list[at + 1])}
        >
          ›
        </button>
      </span>
      <UsableOnly set={set} />
    </div>
  );
}

/** A pair is usable if the clean picture gives the correct option and the corrupt one the incorrect (paper, section 3). */
function UsableOnly({ set }: { readonly set: string | undefined }): JSX.Element {
  const progress = checking.value;
  return (
    <label class="note" title="The clean picture gives the correct option, the corrupt one the incorrect.">
      <input
        type="checkbox"
        checked={onlyUsable.value}
        disabled={!set}
        onChange={({ currentTarget: { checked } }) => {
          onlyUsable.value = checked;
          if (checked) void checkUsable(embeddedPairs.value.filter((one) => setOf(one) === set));
          else stopChecking();
        }}
      />{' '}
      only pairs that this model answers as it should
      {progress && ` (${progress.done} of ${progress.of} asked)`}
    </label>
  );
}

function titleOf({ id, question }: EmbeddedPair): string {
  return `${id.split('/')[1]} · ${question}`;
}

function setOf({ id }: EmbeddedPair): string {
  return id.split('/')[0] as string;
}

function choose(chosen: EmbeddedPair | undefined): void {
  if (chosen) void choosePair(specOf(chosen));
}

function chooseFirstOf(set: string): void {
  choose(embeddedPairs.value.find((one) => setOf(one) === set));
}
