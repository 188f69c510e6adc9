import type { Tensor, Work } from '../gpu/index.ts';
import { ELEMENT_THREADS, gridOf } from './grid.ts';
import { withLoopLimit } from './loop-limit.ts';
import { kernel } from './source.ts';

/** One row of an activation and whose it is. */
export interface HookRow {
  readonly row: number;
  readonly batch: number;
  readonly position: number;
}

/** Turns that the loops of a hook's WGSL may take for one value, all together. */
export const DEFAULT_LOOP_LIMIT = 100_000;

/** What a hook's loops may do, and where it is told when they do more. */
export interface LoopLimit {
  readonly turns: number;
  /** u32 [hooks], 0 at first; then 1 for a hook that did more. */
  readonly overruns: GPUBuffer;
  /** The hook's place there. */
  readonly hook: number;
}

/**
 * Runs a user's WGSL on every element of some rows, in place.
 *
 * @param body statements of `fn edit(value: f32, batch: u32, position: u32, head: u32, feature: u32) -> f32`
 * @param size features of a head
 * @param limit default: as many turns as usual, and nobody is told
 * @throws ShaderError with the compiler's message if the text does not compile
 */
export function customHook(
  w: Work,
  x: Tensor,
  size: number,
  rows: readonly HookRow[],
  body: string,
  limit?: LoopLimit,
): void {
  w.tape?.refuse('custom hook', x);
  const head = 'fn edit(value: f32, batch: u32, position: u32, head: u32, feature: u32) -> f32 {';
  const source = kernel('custom_hook', [body], () => ({
    name: 'custom hook',
    constants: { WG: ELEMENT_THREADS },
    rewrite: (text) => `${head}\n${withLoopLimit(body)}\n}\n${text}`,
  }));
  const table = w.uploadWords(
    Uint32Array.from(rows.flatMap(({ row, batch, position }) => [row, batch, position, 0])),
    'rows of a hook',
  );
  const overruns = limit?.overruns ?? w.uploadWords(new Uint32Array(1), 'overruns of a hook');
  const { groups, gridX } = gridOf(w, rows.length);
  w.dispatch(
    source,
    { X: x.buffer, rows: table, overruns },
    {
      R: rows.length,
      columns: x.columns,
      size,
      offset: x.offset,
      stride: x.stride,
      gridX,
      hook: limit?.hook ?? 0,
      loopLimit: limit?.turns ?? DEFAULT_LOOP_LIMIT,
    },
    groups,
  );
  w.release(table);
  if (!limit) w.release(overruns);
}
