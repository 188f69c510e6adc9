import type { KernelSource, Tensor, Work } from '../gpu/index.ts';
import { ELEMENT_THREADS, gridOf } from './grid.ts';
import { assemble, once } from './source.ts';

const PARAMS = {
  R: 'u32',
  columns: 'u32',
  size: 'u32',
  offset: 'u32',
  stride: 'u32',
  gridX: 'u32',
} as const;

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
  const source = once(
    `custom hook ${body}`,
    (): KernelSource<typeof PARAMS> => ({
      name: 'custom hook',
      code:
        'fn edit(value: f32, batch: u32, position: u32, head: u32, feature: u32) -> f32 {\n' +
        `${body}\n}\n${assemble('custom_hook', { constants: { WG: ELEMENT_THREADS } })}`,
      bindings: ['read_write', 'read'],
      params: PARAMS,
    }),
  );
  const table = w.uploadWords(
    Uint32Array.from(rows.flatMap(({ row, batch, position }) => [row, batch, position, 0])),
    'rows of a hook',
  );
  const { groups, gridX } = gridOf(w, rows.length);
  w.dispatch(
    source,
    [x.buffer, table],
    { R: rows.length, columns: x.columns, size, offset: x.offset, stride: x.stride, gridX },
    groups,
  );
  w.release(table);
}
