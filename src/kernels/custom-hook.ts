import type { Tensor, Work } from '../gpu/index.ts';
import { ELEMENT_THREADS, gridOf } from './grid.ts';
import { kernel } from './source.ts';

/** One row of an activation and whose it is. */
export interface HookRow {
  readonly row: number;
  readonly batch: number;
  readonly position: number;
}

/**
 * Runs a user's WGSL on every element of some rows, in place.
 *
 * @param body statements of `fn edit(value: f32, batch: u32, position: u32, head: u32, feature: u32) -> f32`
 * @param size features of a head
 * @throws ShaderError with the compiler's message if the text does not compile
 */
export function customHook(w: Work, x: Tensor, size: number, rows: readonly HookRow[], body: string): void {
  const head = 'fn edit(value: f32, batch: u32, position: u32, head: u32, feature: u32) -> f32 {';
  const source = kernel('custom_hook', [body], () => ({
    name: 'custom hook',
    constants: { WG: ELEMENT_THREADS },
    rewrite: (text) => `${head}\n${body}\n}\n${text}`,
  }));
  const table = w.uploadWords(
    Uint32Array.from(rows.flatMap(({ row, batch, position }) => [row, batch, position, 0])),
    'rows of a hook',
  );
  const { groups, gridX } = gridOf(w, rows.length);
  w.dispatch(
    source,
    { X: x.buffer, rows: table },
    { R: rows.length, columns: x.columns, size, offset: x.offset, stride: x.stride, gridX },
    groups,
  );
  w.release(table);
}
