import { describe, expect, it } from 'vitest';
import { NoticeError } from '../../src/errors.ts';
import type { Work } from '../../src/gpu/index.ts';
import { customHook, type Edit, type InterveneOp, intervene } from '../../src/kernels/index.ts';
import { openGpu } from '../../src/platform/node/index.ts';
import * as reference from '../reference/index.ts';
import { flatten } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import {
  around,
  DEVICES,
  EPSILON,
  expectShapeErrors,
  framed,
  read,
  upload,
  uploadWindow,
} from './support.ts';

const OPS = ['replace', 'zero', 'add', 'scale', 'interpolate'] as const satisfies InterveneOp[];
const MARGINS = { left: 1, right: 4, above: 2 };
const [ROWS, COLUMNS] = [13, 150];

/** Whole rows, one head, one feature and a part longer than a workgroup, in rows of their own. */
function someEdits(random: Random): Edit[] {
  const sources = [9, 10, 11, 12];
  return [
    [0, COLUMNS],
    [30, 10],
    [149, 1],
    [7, 130],
    [0, 1],
  ].map(([firstColumn, columns], i) => ({
    row: 2 * (i % 4) + (i > 3 ? 1 : 0),
    firstColumn: firstColumn!,
    columns: columns!,
    source: sources[i % 4]!,
    alpha: 2 * random.next() - 0.5,
    counter: i % 3,
  }));
}

async function counts(w: Work, buffer: GPUBuffer, length: number): Promise<number[]> {
  const values = await read(w, { buffer, rows: 1, columns: length, stride: length, offset: 0 });
  return [...new Uint32Array(values.buffer)];
}

describe.each(DEVICES)('on %s', (_, device) => {
  it.each(OPS)('%s in a window, from its own rows and from another tensor', async (op) => {
    const w = await testWork(device);
    const random = new Random(4);
    const x = random.matrix(ROWS, COLUMNS);
    const other = random.matrix(ROWS, COLUMNS);
    const edits = someEdits(random);
    for (const source of [undefined, other]) {
      const window = uploadWindow(w, x, MARGINS);
      const fired = w.uploadWords(new Uint32Array(3), 'fired');
      intervene(w, window, op, edits, fired, source && uploadWindow(w, source, MARGINS));
      const expected = reference.intervene(x, op, edits, source);
      // Products up to 1.5 and their sum are rounded.
      expectClose(await read(w, window), flatten(expected), { atol: 4 * EPSILON, shape: [ROWS, COLUMNS] });
      const written = edits.reduce(
        (totals, { counter, columns }) => totals.map((total, i) => total + (i === counter ? columns : 0)),
        [0, 0, 0],
      );
      expect(await counts(w, fired, 3)).toEqual(written);
      // What no edit names stays as it was, around the window too.
      const edited = (r: number, c: number) =>
        edits.some((e) => e.row === r && c >= e.firstColumn && c < e.firstColumn + e.columns);
      const mask = framed(
        x.map((row, r) => row.map((_value, c) => Number(edited(r, c)))),
        MARGINS,
      );
      const untouched = (values: Float32Array) => values.filter((_value, i) => mask[i] !== 1);
      expectSameBits(untouched(await read(w, around(window, MARGINS))), untouched(framed(x, MARGINS)));
    }
  });

  it('a source that begins at a later column', async () => {
    const w = await testWork(device);
    const random = new Random(6);
    const x = random.matrix(4, 20);
    const values = random.matrix(2, 5);
    const edits: Edit[] = [
      { row: 1, firstColumn: 10, columns: 5, source: 1, alpha: 1, counter: 0 },
      { row: 3, firstColumn: 12, columns: 2, source: 0, alpha: 1, counter: 0 },
    ];
    const tensor = upload(w, x);
    const fired = w.uploadWords(new Uint32Array(1), 'fired');
    intervene(w, tensor, 'replace', edits, fired, upload(w, values), 10);
    const expected = reference.intervene(x, 'replace', edits, values, 10);
    expectSameBits(await read(w, tensor), Float32Array.from(flatten(expected)));
    expect(await counts(w, fired, 1)).toEqual([7]);
  });

  it('a user’s WGSL sees value, batch, position, head and feature', async () => {
    const w = await testWork(device);
    const x = new Random(2).matrix(5, 6);
    const window = uploadWindow(w, x, MARGINS);
    const rows = [
      { row: 4, batch: 1, position: 7 },
      { row: 0, batch: 0, position: 3 },
    ];
    const body = 'return value + f32(1000u * batch + 100u * position + 10u * head + feature);';
    customHook(w, window, 3, rows, body);
    const expected = x.map((row) => Array.from(row));
    for (const { row, batch, position } of rows)
      expected[row] = expected[row]!.map((value, c) =>
        Math.fround(value + 1000 * batch + 100 * position + 10 * Math.floor(c / 3) + (c % 3)),
      );
    expectSameBits(await read(w, around(window, MARGINS)), framed(expected, MARGINS));
  });
});

describe('edits beside their tensors', () => {
  it('are named', async () => {
    const w = await testWork();
    const x = w.empty(4, 6, 'x');
    const source = w.empty(2, 3, 'source');
    const fired = w.uploadWords(new Uint32Array(1), 'fired');
    const edit: Edit = { row: 0, firstColumn: 0, columns: 3, source: 0, alpha: 1, counter: 0 };
    const replace = (wrong: Partial<Edit>) => () =>
      intervene(w, x, 'replace', [{ ...edit, ...wrong }], fired, source);
    expectShapeErrors([
      [replace({ row: 4 }), /row 4, columns 0 to 3 of \[4, 6\]/],
      [replace({ firstColumn: 5 }), /row 0, columns 5 to 8 of \[4, 6\]/],
      [replace({ source: 2 }), /row 2, columns 0 to 3 of the source \[2, 3\]/],
      [replace({ firstColumn: 1 }), /row 0, columns 1 to 4 of the source \[2, 3\]/],
    ]);
    // Without a source to read, only the target counts.
    intervene(w, x, 'zero', [{ ...edit, source: 99 }], fired, source);
    await w.finish();
  });

  it('WGSL that does not compile is an error with the compiler’s message', async () => {
    const gpu = await openGpu(); // its own: the kernels' work here would end with it
    const failure = await gpu
      .work((w) => {
        const x = w.upload(Float32Array.of(1, 2), 1, 2, 'x');
        customHook(w, x, 2, [{ row: 0, batch: 0, position: 0 }], 'return valeu;');
      })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(NoticeError);
    expect(String(failure)).toMatch(/unresolved value 'valeu'/);
    gpu.destroy();
  });
});
