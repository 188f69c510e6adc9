// Rotary position embedding: which angle turns which pair of a head's features, for the positions of one walk.

import { NoticeError } from '../../errors.ts';
import type { Work } from '../../gpu/index.ts';
import { rotaryTable, type Turn } from '../../kernels/index.ts';
import type { TowerConfig } from './config.ts';
import type { Sequence } from './sequence.ts';
import type { RotaryTables } from './walk.ts';

export interface Rotary {
  readonly theta: number;
  /** Positions count for so much less: linear scaling. */
  readonly factor?: number;
  /**
   * Which coordinate of a position turns a pair of features; default its number. `grid` (vision towers): the row turns the
   * first half of the pairs, the column the second. Sections (mRoPE): so many pairs are turned by time, row and column, one
   * section behind the other, or in turn for as long as rows and columns last.
   */
  readonly by?: 'grid' | Sections;
}

export interface Sections {
  readonly sections: readonly [time: number, row: number, column: number];
  readonly interleaved: boolean;
}

// A position id is a number, also where it has coordinates: time + 2^24 · row + 2^38 · column, rows and columns counted from
// where the image begins. So text, whose coordinates are all the same, has plain numbers, and ids can be compared.
const TIMES = 2 ** 24;
const CELLS = 2 ** 14;

/** Position id of a cell of an image that begins at `time`. */
export function gridPlace(time: number, row: number, column: number): number {
  if (time >= TIMES || row >= CELLS || column >= CELLS)
    throw new NoticeError(
      'text',
      `position ${time}, row ${row}, column ${column} are more than can be told apart`,
    );
  return time + TIMES * (row + CELLS * column);
}

/** Time, row and column of a position id, as transformers counts them. */
export function coordinatesOf(place: number): [time: number, row: number, column: number] {
  const time = place % TIMES;
  const cell = Math.floor(place / TIMES);
  return [time, time + (cell % CELLS), time + Math.floor(cell / CELLS)];
}

/** What turns each pair of a head's features. */
export function turnsOf(headSize: number, { theta, factor = 1, by }: Rotary): Turn[] {
  const pairs = headSize / 2;
  const turn = (axis: number, step: number, steps: number): Turn => {
    // transformers computes exponent, power and inverse in f32.
    const power = Math.fround(theta ** Math.fround(step / steps));
    return { axis, frequency: Math.fround(Math.fround(1 / power) / factor) };
  };
  return Array.from({ length: pairs }, (_, pair) => {
    if (by !== 'grid') return turn(by ? sectionOf(pair, by) : 0, pair, pairs);
    const half = pairs / 2;
    return pair < half ? turn(1, pair, half) : turn(2, pair - half, half);
  });
}

function sectionOf(pair: number, { sections: [time, row, column], interleaved }: Sections): number {
  if (!interleaved) return pair < time ? 0 : pair < time + row ? 1 : 2;
  const axis = pair % 3;
  return pair < 3 * [0, row, column][axis]! ? axis : 0;
}

/**
 * (cos, sin) of the position ids in a walk, for each of the tower's rotations; to be released after it. What a derived run gets rows for later has the place of its base.
 *
 * @param places position ids of the runs' positions
 * @param maxPositions coordinates that the tower knows
 * @throws NoticeError('text') for a position id beyond them
 */
export function rotaryAngles(
  w: Work,
  { name, headSize, rotary, rotaries }: TowerConfig,
  runs: readonly Sequence[],
  places: (run: Sequence, position: number) => number,
  maxPositions = TIMES,
): RotaryTables {
  if (!rotary) throw new Error(`${name} has no rotary embedding`);
  const rows = new Map<number, number>();
  for (const run of runs)
    for (const position of run.ownPositions) {
      const place = places(run, position);
      if (!rows.has(place)) rows.set(place, rows.size);
    }
  const positions = [...rows.keys()].map(coordinatesOf);
  const beyond = positions.flat().find((coordinate) => !(coordinate >= 0 && coordinate < maxPositions));
  if (beyond !== undefined)
    throw new NoticeError('text', `position id ${beyond} is not among this model's ${maxPositions}`);
  const tables = new Map(
    [...new Set([rotary, ...(rotaries ?? [])])].map((one) => [
      one,
      w.uploadWords(rotaryTable(positions, turnsOf(headSize, one)), `${name} rotary angles`),
    ]),
  );
  return {
    tableOf: (layer) => tables.get(rotaries?.[layer] ?? rotary) as GPUBuffer,
    rowOf: (run, position) => rows.get(places(run, position)) as number,
    release: () => w.release(...tables.values()),
  };
}
