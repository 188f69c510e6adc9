// The store of a site's Origin Private File System, in a page and in a worker, in which browsers write in different ways.

import { afterEach, describe, expect, test, vi } from 'vitest';
import { NoticeError } from '../../src/errors.ts';
import { loadModel } from '../../src/models/index.ts';
import { openGpu } from '../../src/platform/browser/adapter.ts';
import { opfsStore } from '../../src/platform/browser/opfs-store.ts';
import { type FileStore, httpFolder, type StoredFile } from '../../src/weights/index.ts';

const FILE: StoredFile = { folder: 'https://hub/org/tiny', path: 'a/b.bin', size: 1000, tag: 'x' };
const bytes = (length: number, seed = 1) => Uint8Array.from({ length }, (_, i) => (i * seed) % 251);

afterEach(async () => (await opfsStore()).delete());

/** The folder on disk of the only kept file. */
async function onlyFolder(): Promise<FileSystemDirectoryHandle> {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('notice-models');
  for await (const handle of root.values()) return handle as FileSystemDirectoryHandle;
  throw new Error('nothing is kept');
}

/** Runs a test's work in a worker of its own. */
async function inWorker(task: string): Promise<unknown> {
  const worker = new Worker(new URL('./opfs-worker.ts', import.meta.url), { type: 'module' });
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) =>
        'error' in data ? reject(new Error(data.error)) : resolve(data.result);
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.postMessage(task);
    });
  } finally {
    worker.terminate();
  }
}

test('keeps parts, finds them again, lists and deletes them', async () => {
  const store = await opfsStore();
  const parts = await store.open(FILE, false);
  expect(parts.has(0, 600)).toBe(false);
  expect(await parts.read(0, 600)).toBeUndefined();
  expect(await parts.write(0, bytes(600))).toBe(true);
  expect(await parts.read(0, 600)).toEqual(bytes(600));

  const again: FileStore = await opfsStore();
  const reopened = await again.open(FILE, false);
  expect([reopened.has(0, 600), reopened.has(600, 1000)]).toEqual([true, false]);
  expect(await reopened.read(0, 600)).toEqual(bytes(600));
  expect(await again.list()).toEqual([{ ...FILE, kept: 600 }]);
  await reopened.write(600, bytes(400));
  expect(await again.list()).toEqual([{ ...FILE, kept: 1000 }]);

  await again.delete('https://hub/org/other');
  expect(await again.list()).toHaveLength(1);
  await again.delete(FILE.folder);
  expect(await again.list()).toEqual([]);
  // Whoever still has the file open reads nothing wrong and gets nothing kept.
  expect(await reopened.read(0, 600)).toBeUndefined();
  expect(await reopened.write(0, bytes(600))).toBe(false);
});

test('versions are kept apart; one that cannot be had any more goes', async () => {
  const store = await opfsStore();
  await (await store.open(FILE, false)).write(0, bytes(600));
  const other = { ...FILE, tag: 'y' };
  expect((await store.open(other, false)).has(0, 600)).toBe(false);
  expect((await store.list()).map(({ tag }) => tag).sort()).toEqual(['x', 'y']);
  await store.open({ ...FILE, size: 1001 }, true);
  expect((await store.list()).map(({ size }) => size)).toEqual([1001]);
});

test.each<[string, (content: Uint8Array) => Uint8Array]>([
  ['cut off', (content) => content.slice(0, 500)],
  ['without its end', (content) => content.slice(0, 600)],
  ['of other bytes', (content) => content.map((byte, i) => (i === 17 ? byte + 1 : byte))],
])('a part that is %s is not believed, and written anew', async (_, damage) => {
  const store = await opfsStore();
  await (await store.open(FILE, false)).write(0, bytes(600));
  const handle = await (await onlyFolder()).getFileHandle('0-600');
  const content = new Uint8Array(await (await handle.getFile()).arrayBuffer());
  const stream = await handle.createWritable();
  await stream.write(new Uint8Array(damage(content)));
  await stream.close();

  const parts = await store.open(FILE, false);
  expect(await parts.read(0, 600)).toBeUndefined();
  expect(parts.has(0, 600)).toBe(false);
  expect(await parts.write(0, bytes(600))).toBe(true);
  expect(await parts.read(0, 600)).toEqual(bytes(600));
});

test('page and workers write the same file at once, and all read it', async () => {
  const store = await opfsStore();
  const parts = await store.open(FILE, false);
  const writes = Promise.all(Array.from({ length: 20 }, (_, i) => parts.write(50 * i, bytes(50, i + 1))));
  const [first, second] = await Promise.all([inWorker('write'), inWorker('write'), writes]);
  expect([first, second]).toEqual([true, true]);
  for (let i = 0; i < 20; i++) expect(await parts.read(50 * i, 50 * (i + 1))).toEqual(bytes(50, i + 1));
  expect(await inWorker('read')).toBe(true);
  expect((await store.list())[0]?.kept).toBe(1000);
});

test('a model comes from the store the second time', async () => {
  const gpu = await openGpu();
  const cache = await opfsStore();
  const fetched = vi.spyOn(globalThis, 'fetch');
  const weights = () =>
    fetched.mock.calls.filter(([url]) => String(url).endsWith('model.safetensors')).length;
  for (const requests of [2, 3]) {
    const model = await loadModel(gpu, httpFolder('/test/fixtures/blip-tiny'), { cache });
    // The second time the beginning alone, with which the version comes.
    expect(weights()).toBe(requests);
    model.destroy();
  }
  const kept = (await cache.list()).find(({ path }) => path === 'model.safetensors');
  expect(kept?.kept).toBe(kept?.size);
  fetched.mockRestore();
  gpu.destroy();
});

describe('where there is no such store', () => {
  afterEach(() => vi.unstubAllGlobals());

  test.each<[string, object, RegExp]>([
    ['the browser has none', {}, /it has no Origin Private File System, or the page is not from https/],
    [
      'it is closed',
      { storage: { getDirectory: () => Promise.reject(new DOMException('denied', 'SecurityError')) } },
      /is closed \(denied\), as in private windows/,
    ],
  ])('%s: it says so', async (_, navigator, message) => {
    vi.stubGlobal('navigator', navigator);
    const refused = opfsStore();
    await expect(refused).rejects.toThrow(NoticeError);
    await expect(refused).rejects.toThrow(message);
  });
});

test('deletes a file whose last part is still being kept, once it is', async () => {
  const store = await opfsStore();
  const file = { ...FILE, size: 64 * 2 ** 20 };
  const parts = await store.open(file, false);
  const part = bytes(file.size);
  const kept = parts.write(0, part);
  await crypto.subtle.digest('SHA-256', part); // as long as the store takes before it writes
  await store.delete(file.folder);
  await kept;
  expect(await store.list()).toEqual([]);
});
