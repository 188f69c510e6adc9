// Which run of the pair a view reads.

import type { JSX } from 'preact';
import type { RunSpec } from '../protocol/reading.ts';
import { pair } from '../state/app.ts';
import { activePins } from '../state/pins.ts';

/** A run, with what is pinned in it or without. */
export interface RunChoice {
  readonly run: RunSpec['run'];
  readonly patched: boolean;
}

const NAMES: Readonly<Record<RunSpec['run'], string>> = {
  clean: 'clean run',
  image: 'corrupt image',
  text: 'corrupt text',
};

export function runSpec({ run, patched }: RunChoice): RunSpec {
  return { run, pins: patched ? activePins.value : [] };
}

export function runName({ run, patched }: RunChoice): string {
  return patched ? `${NAMES[run]}, patched` : NAMES[run];
}

export function RunSelect({
  value,
  onChange,
}: {
  readonly value: RunChoice;
  readonly onChange: (choice: RunChoice) => void;
}): JSX.Element {
  const corrupt = (['image', 'text'] as const).filter((run) => pair.value?.corrupt[run]);
  const choices: RunChoice[] = [
    { run: 'clean', patched: false },
    ...corrupt.flatMap((run) => [
      { run, patched: false },
      ...(activePins.value.length > 0 ? [{ run, patched: true }] : []),
    ]),
  ];
  return (
    <label>
      Run{' '}
      <select
        value={runName(value)}
        onChange={({ currentTarget }) => {
          const choice = choices.find((candidate) => runName(candidate) === currentTarget.value);
          if (choice) onChange(choice);
        }}
      >
        {choices.map((choice) => (
          <option key={runName(choice)}>{runName(choice)}</option>
        ))}
      </select>
    </label>
  );
}
