// Which columns of a row an intervention addresses.

import { NoticeError } from '../errors.ts';
import type { Activation, Sequence } from '../models/index.ts';
import type { Target } from './intervention.ts';
import { isByHead, lengthAt } from './names.ts';

/** Columns next to each other. */
export interface Span {
  readonly first: number;
  readonly count: number;
  /** Head that they belong to (the first, where all are addressed together). */
  readonly head: number;
  /** Columns that the intervention addresses before these: their place in a list of values. */
  readonly offset: number;
}

/**
 * The columns of a run's rows that a target names.
 *
 * @throws NoticeError('hook') for heads or features that the activation does not have
 */
export function spansOf(activation: Activation, run: Sequence, { hook, heads, features }: Target): Span[] {
  const { size, columns } = activation;
  const available = columns === 'keys' ? activation.keysOf(run) : size;
  if (heads) {
    if (!isByHead(hook)) throw new NoticeError('hook', `${hook} has no heads`);
    checkIndices(`${hook}: head`, heads, activation.heads);
  }
  const [first, end] = features ?? [0, available];
  if (!(Number.isInteger(first) && Number.isInteger(end) && first >= 0 && first < end && end <= available))
    throw new NoticeError('hook', `${hook}: ${columns} ${first} to ${end} are not within its ${available}`);
  // Whole rows are one span, unless room is left between the keys of two heads.
  if (!features && !heads && columns === 'features')
    return [{ first: 0, count: activation.heads * size, head: 0, offset: 0 }];
  const count = end - first;
  const list = heads ?? Array.from({ length: activation.heads }, (_, h) => h);
  return list.map((head, i) => ({ first: head * size + first, count, head, offset: i * count }));
}

/**
 * Positions of a run that a target names.
 *
 * @throws NoticeError('hook') for one that does not exist
 */
export function positionsOf({ hook, positions }: Target, run: Sequence): readonly number[] {
  const length = lengthAt(hook, run);
  if (!positions) return Array.from({ length }, (_, p) => p);
  checkIndices(`${hook}: position`, positions, length);
  return positions;
}

/**
 * Fails unless every index is an integer below `count` and none comes twice.
 *
 * @param what for the message, for example `text_encoder.blocks.0.attn.hook_z: position`
 * @throws NoticeError('hook')
 */
export function checkIndices(what: string, indices: readonly number[], count: number): void {
  if (indices.length === 0) throw new NoticeError('hook', `${what}: an empty list; leave it out for all`);
  const beyond = indices.find((index) => !(Number.isInteger(index) && index >= 0 && index < count));
  if (beyond !== undefined)
    throw new NoticeError('hook', `${what} ${beyond} does not exist, there are ${count}`);
  const twice = indices.find((index, i) => indices.indexOf(index) !== i);
  if (twice !== undefined) throw new NoticeError('hook', `${what} ${twice} is named twice`);
}
