// `notice sweep` with pictures and words: every kind of corruption, on the terminal and in every kind of file.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { freshFolder } from '../notice/datasets/support.ts';
import { ROOT, run, SHAPES, tensorsOf } from './support.ts';

const picture = (side: string) => join(ROOT, `data/scenes/002_${side}.png`);
const CLEAN = ['--clean', picture('clean'), '--prompt', 'is the triangle inside the heart or ring?'];
const WORDS = ['--correct', 'heart', '--incorrect', 'ring'];

test('two pictures and two words: one result in five formats', async () => {
  const folder = await freshFolder();
  const files = ['safetensors', 'parquet', 'csv', 'png', 'svg'].map((ending) =>
    join(folder, `map.${ending}`),
  );
  const [tensors = '', parquet = '', csv = '', png = '', svg = ''] = files;
  const outs = files.flatMap((file) => ['--out', file]);
  const { stdout } = await run([
    'sweep',
    '--model',
    SHAPES,
    ...CLEAN,
    '--corrupt',
    picture('corrupt'),
    ...WORDS,
    ...outs,
  ]);
  // By default the paper's modules: 3 sites, 4 layers, 12 tokens.
  expect(stdout.match(/^144 patches at 3 sites → /gm)).toHaveLength(5);
  const written = await tensorsOf(tensors);
  const sites = ['text_encoder.attn.hook_z', 'text_encoder.cross_attn.hook_z', 'text_encoder.hook_mlp_out'];
  const effects = sites.flatMap((site) => {
    const { shape, data } = written.get(`sweep/${site}`) as { shape: readonly number[]; data: Float32Array };
    expect(shape).toEqual([4, 12, 4]);
    return Array.from({ length: 48 }, (_, i) => data[4 * i + 2] as number);
  });
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(parquet) });
  expect(rows.map((row) => row.ld_effect)).toEqual(effects);
  const read = parse(await readFile(csv), { columns: true, bom: true }) as Record<string, string>[];
  expect(read.map((row) => Math.fround(Number(row.ld_effect)))).toEqual(effects);
  expect(read[7]).toMatchObject({ site: sites[0], layer: '0', head: '', position: '7', token: '7 heart' });
  expect((await sharp(await readFile(png)).metadata()).width).toBeGreaterThan(800);
  expect(await readFile(svg, 'utf8')).toContain('text_encoder.hook_mlp_out');
  // The table says the same, in two digits.
  const line = /^\| 7 heart .*$/m.exec(stdout.slice(stdout.indexOf(sites[1] as string)))?.[0] ?? '';
  const shown = line
    .split('|')
    .slice(2, -1)
    .map((cell) => Number(cell.trim().replace('−', '-')));
  expect(shown).toEqual(
    [0, 1, 2, 3].map((layer) => Number((effects[48 + 12 * layer + 7] as number).toPrecision(2))),
  );
});

test.each([
  [['--corrupt-prompt', 'is the triangle inside the ring or heart?']],
  [['--corruption', 'noise', '--seed', '3']],
  [['--corruption', 'no-image']],
])('corrupt is %j', async (corrupt) => {
  const { stdout } = await run([
    'sweep',
    '--model',
    SHAPES,
    ...CLEAN,
    ...corrupt,
    ...WORDS,
    '--heads',
    '--positions',
    '7',
  ]);
  // Of one site the heads at one position.
  expect(stdout.match(/^\| head \d/gm)).toHaveLength(4);
  expect(stdout).toMatch(/controls: 1 null patch exactly 0, full restoration exact/);
  const [, clean, other] = /LD clean (\S+), corrupt (\S+)/.exec(stdout) ?? [];
  expect(Number(other)).toBeLessThan(Number(clean));
});
