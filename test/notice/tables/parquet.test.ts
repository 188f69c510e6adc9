import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parquetMetadata, parquetSchema } from 'hyparquet';
import { parquetWriteFile } from 'hyparquet-writer';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { CellRow } from '../../../src/analysis/cell.ts';
import { CellEffects } from '../../../src/analysis/effects.ts';
import { listParts, partName, readCells, writeCells } from '../../../src/notice/tables/parquet.ts';
import { seeded } from '../../../src/random.ts';
import { cell } from '../../analysis/support.ts';

async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'notice-tables-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Cells of one sample: 3 layers × 4 heads and the module, with the odd characters of real data sets. */
function sampleCells(index: number): CellRow[] {
  const random = seeded(index);
  const sample = `scenes-${String(index).padStart(3, '0')}`;
  return [0, 1, 2].flatMap((layer) =>
    [null, 0, 1, 2, 3].map((head) =>
      cell({
        sample,
        layer,
        head,
        token: ['star', 'naïve', '星, "x"', '##s\n'][index % 4]!,
        ld_effect: Math.fround(random.normal()),
        normalized: index % 3 ? Math.fround(random.next()) : null,
      }),
    ),
  );
}

const collect = async <T>(rows: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const row of rows) all.push(row);
  return all;
};

describe('files of cells', () => {
  it('come back as they went in', async () => {
    const path = join(await freshFolder(), 'cells.parquet');
    const cells = [0, 1, 2, 3].flatMap(sampleCells);
    expect(await writeCells(path, cells)).toBe(60);
    expect(await collect(readCells(path))).toEqual(cells);
    expect(await collect(readCells(path, ['head', 'ld_effect']))).toEqual(
      cells.map(({ head, ld_effect }) => ({ head, ld_effect })),
    );
  });

  it('have the declared types, in several row groups when large', async () => {
    const path = join(await freshFolder(), 'cells.parquet');
    const rows = 120_000;
    await writeCells(
      path,
      (function* () {
        for (let i = 0; i < rows; i++) yield cell({ sample: `s${Math.floor(i / 1000)}`, layer: i % 12 });
      })(),
    );
    const bytes = (await readFile(path)).buffer as ArrayBuffer;
    const metadata = parquetMetadata(bytes);
    expect(metadata.row_groups.map((group) => Number(group.num_rows))).toEqual([50_000, 50_000, 20_000]);
    const types = parquetSchema(metadata).children.map(({ element }) => `${element.name} ${element.type}`);
    expect(types).toEqual(expect.arrayContaining(['sample BYTE_ARRAY', 'head INT32', 'ld_effect FLOAT']));
    expect(await collect(readCells(path, ['layer']))).toHaveLength(rows);
    // 21 columns of 120 000 rows: repeated values must not take their full width.
    expect(bytes.byteLength).toBeLessThan(rows * 10);
  });

  it('can be empty', async () => {
    const path = join(await freshFolder(), 'cells.parquet');
    expect(await writeCells(path, [])).toBe(0);
    expect(await collect(readCells(path))).toEqual([]);
  });

  it('feed the analysis', async () => {
    const path = join(await freshFolder(), 'cells.parquet');
    const cells = [0, 1, 2].flatMap(sampleCells);
    await writeCells(path, cells);
    expect((await CellEffects.collect(readCells(path))).heads('ld_effect', 'answer')).toEqual(
      (await CellEffects.collect(cells)).heads('ld_effect', 'answer'),
    );
  });

  it('never hold what the schema cannot', async () => {
    const folder = await freshFolder();
    const path = join(folder, 'cells.parquet');
    const broken: [Partial<CellRow>, RegExp][] = [
      [{ ld_effect: Number.NaN }, /ld_effect = NaN; expected float/],
      [{ normalized: Number.POSITIVE_INFINITY }, /normalized = Infinity; expected float or null/],
      [{ layer: 1.5 }, /layer = 1.5; expected integer/],
      [{ head: undefined as unknown as null }, /head = undefined; expected integer or null/],
      [{ token: 7 as unknown as string }, /token = 7; expected text/],
    ];
    for (const [values, message] of broken) {
      await expect(writeCells(path, [cell(), cell({ head: 2, ...values })])).rejects.toThrow(message);
    }
    await expect(writeCells(path, [cell({ head: 2, p_effect: Number.NaN })])).rejects.toThrow(
      '(scenes-000, sip, text_encoder.cross_attn.hook_z, layer 0, head 2, position 3)',
    );
    expect(await readdir(folder)).toEqual([]);
  });

  it('are refused when missing, damaged or of another kind', async () => {
    const folder = await freshFolder();
    const read = (name: string) => collect(readCells(join(folder, name)));
    await expect(read('none.parquet')).rejects.toThrow(/none\.parquet cannot be read as Parquet: ENOENT/);
    await writeFile(join(folder, 'text.parquet'), 'this is not Parquet at all');
    await expect(read('text.parquet')).rejects.toThrow(/text\.parquet cannot be read as Parquet/);
    await writeCells(join(folder, 'whole.parquet'), sampleCells(0));
    const whole = await readFile(join(folder, 'whole.parquet'));
    await writeFile(join(folder, 'half.parquet'), whole.subarray(0, whole.length / 2));
    await expect(read('half.parquet')).rejects.toThrow(/half\.parquet cannot be read as Parquet/);
    parquetWriteFile({
      filename: join(folder, 'other.parquet'),
      columnData: [{ name: 'sample', data: ['a'], type: 'STRING' }],
    });
    await expect(read('other.parquet')).rejects.toThrow(
      /not a file of cells: expected the columns sample BYTE_ARRAY REQUIRED/,
    );
  });
});

it('parts are listed in the order of the run, however they are dealt to shards; what a crash left is not', async () => {
  const folder = await freshFolder();
  const samples = Array.from({ length: 12 }, (_, i) => i);
  const shards = [join(folder, 'shard-0'), join(folder, 'shard-1')];
  for (const shard of shards) await mkdir(shard);
  for (const i of samples) await writeCells(join(shards[i % 2]!, partName(i)), sampleCells(i));
  await writeFile(join(shards[0]!, `${partName(99)}.tmp`), 'left by a crash');
  const read: CellRow[] = [];
  for (const part of await listParts(...shards)) for await (const cell of readCells(part)) read.push(cell);
  expect(read.map(({ sample }) => sample)).toEqual(samples.flatMap(sampleCells).map(({ sample }) => sample));
});
