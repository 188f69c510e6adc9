// Files that cannot be written: each error names the file, and nothing half-written is left.

import { existsSync } from 'node:fs';
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fillWhole, writeWhole } from '../../src/platform/node/whole-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'notice-whole-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const systemError = (code: string) => Object.assign(new Error(`${code}: words`), { code, syscall: 'write' });

test('a file appears with its folders, alone, and is replaced whole', async () => {
  const file = join(folder, 'a', 'b.txt');
  await writeWhole(file, 'one');
  await writeWhole(file, [new TextEncoder().encode('t'), new TextEncoder().encode('wo')]);
  expect(await readFile(file, 'utf8')).toBe('two');
  expect(await readdir(join(folder, 'a'))).toEqual(['b.txt']);
});

test.each(['ENOSPC', 'EROFS', 'EIO'])(
  '%s half-way leaves what was there, and is said of the file',
  async (code) => {
    const file = join(folder, 'results.csv');
    await writeFile(file, 'old');
    const failing = async function* () {
      yield Buffer.from('half');
      throw systemError(code);
    };
    await expect(writeWhole(file, failing())).rejects.toMatchObject({
      code: 'file',
      message: `${file} cannot be written: ${code}: words`,
    });
    expect(await readFile(file, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['results.csv']);
  },
);

test('errors of what is written are not the file system’s, and leave nothing either', async () => {
  const error = new TypeError('no number');
  const failing = fillWhole(join(folder, 'x'), async (temporary) => {
    await writeFile(temporary, 'half');
    throw error;
  });
  await expect(failing).rejects.toBe(error);
  expect(await readdir(folder)).toEqual([]);
});

test('a folder, a path below a file, a name that is too long', async () => {
  await writeFile(join(folder, 'file'), '');
  await mkdir(join(folder, 'folder'));
  for (const [name, code] of [
    ['folder', 'EISDIR'],
    ['file/x', 'EEXIST'],
    ['x'.repeat(300), 'ENAMETOOLONG'],
  ] as const) {
    const path = join(folder, name);
    await expect(writeWhole(path, 'x'), name).rejects.toMatchObject({
      code: 'file',
      message: expect.stringContaining(`${path} cannot be written: ${code}`),
    });
  }
  expect((await readdir(folder)).sort()).toEqual(['file', 'folder']);
});

test('a link stays a link, a device stays a device', async () => {
  await writeFile(join(folder, 'file'), 'old');
  await symlink('file', join(folder, 'link'));
  await writeWhole(join(folder, 'link'), 'new');
  expect((await lstat(join(folder, 'link'))).isSymbolicLink()).toBe(true);
  expect(await readFile(join(folder, 'file'), 'utf8')).toBe('new');
  await writeWhole('/dev/null', 'x');
  expect((await lstat('/dev/null')).isFile()).toBe(false);
});

test.runIf(existsSync('/dev/full'))('a full disk', async () => {
  await expect(writeWhole('/dev/full', 'x')).rejects.toMatchObject({
    code: 'file',
    message: expect.stringMatching(/^\/dev\/full cannot be written: ENOSPC/),
  });
});
