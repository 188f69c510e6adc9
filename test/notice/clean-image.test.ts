import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { cleanImage } from '../../src/notice/experiment/analyse.ts';
import { sha256 } from '../../src/notice/experiment/keys.ts';
import type { RunRecord } from '../../src/notice/experiment/record.ts';

test('a report draws on the images of the run, and on no others', async () => {
  const path = join(await mkdtemp(join(tmpdir(), 'notice-clean-')), 'clean.png');
  const png = (background: string) =>
    sharp({ create: { width: 2, height: 1, channels: 3, background } })
      .png()
      .toBuffer();
  const bytes = new Uint8Array(await png('red'));
  await writeFile(path, bytes);
  const part = { name: '0000000-a', task: 'colors', samples: ['x', 'y'] };
  const record = { parts: [{ ...part, images: ['', await sha256(bytes)] }] } as unknown as RunRecord;
  const pair = { id: 'y', cleanImage: path } as Parameters<typeof cleanImage>[2];
  expect((await cleanImage(record, 'colors', pair)).data).toEqual(Uint8Array.of(255, 0, 0, 255, 0, 0));
  await writeFile(path, await png('blue'));
  await expect(cleanImage(record, 'colors', pair)).rejects.toThrow(
    /clean\.png has changed since the run began/,
  );
});
