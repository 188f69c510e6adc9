// Digests of model files: by the hub's names, by content, and remembered for as long as a file stays what it is.

import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { fileDigest, folderDigest, observed } from '../../src/platform/node/digests.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'notice-digests-'));
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

test('a link into the cache of the hub has its blob’s name, and is not read', async () => {
  const name = 'ab'.repeat(32);
  await mkdir(join(folder, 'blobs'), { recursive: true });
  await writeFile(join(folder, 'blobs', name), 'weights');
  await symlink(join('blobs', name), join(folder, 'model.safetensors'));
  expect(await fileDigest(join(folder, 'model.safetensors'))).toBe(name);
});

test('a file has the SHA-256 of its bytes; a large one is read again when size or time of change are others', async () => {
  const file = join(folder, 'large.bin');
  await writeFile(file, 'one');
  const time = new Date(2020, 1, 1);
  await utimes(file, time, time);
  expect(await fileDigest(file)).toBe(sha256('one'));
  expect(await fileDigest(file, 1)).toBe(sha256('one'));
  await writeFile(file, 'two');
  await utimes(file, time, time);
  expect(await fileDigest(file, 1)).toBe(sha256('one')); // as remembered
  expect(await fileDigest(file)).toBe(sha256('two')); // small files are always read
  await utimes(file, time, new Date(2020, 1, 2));
  expect(await fileDigest(file, 1)).toBe(sha256('two'));
});

test('a folder’s digest is that of the files that were opened, by name and content', async () => {
  for (const [name, text] of [
    ['a.json', '1'],
    ['b.json', '2'],
  ] as const)
    await writeFile(join(folder, name), text);
  const { source, opened } = observed(nodeFolder(folder));
  for (const name of ['b.json', 'none.json', 'a.json']) await (await source.open(name))?.close();
  expect([...opened].sort()).toEqual(['a.json', 'b.json']);
  const before = await folderDigest(folder, opened);
  expect(await folderDigest(folder, ['a.json', 'b.json'])).toBe(before);
  await writeFile(join(folder, 'c.json'), '3');
  expect(await folderDigest(folder, opened)).toBe(before);
  await writeFile(join(folder, 'b.json'), '3');
  expect(await folderDigest(folder, opened)).not.toBe(before);
});
