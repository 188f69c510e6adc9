// Files of models in the Origin Private File System, which a site has for itself: nobody else sees it, and it stays until the
// user clears the site's data, the browser is short of room, or `delete` is called.
//
//   notice-models/{SHA-256 of folder, path, size and tag}/
//     file.json            which file that is
//     {begin}-{end}        bytes begin to end of it, and their SHA-256 behind them
//
// A part counts only with its SHA-256, which is written last: one that was cut off, or that two pages wrote at once, is not
// believed. Every part is a file of its own, so pages do not wait for each other.

import { NoticeError } from '../../errors.ts';
import type { FileStore, KeptParts, StoredFile, StoredListing } from '../../weights/file-store.ts';

const ROOT = 'notice-models';
const ABOUT = 'file.json';
const DIGEST_BYTES = 32;

/** What workers have besides, and TypeScript's types of pages do not. */
interface WorkerFileHandle {
  createSyncAccessHandle(): Promise<{
    truncate(size: number): void;
    write(bytes: Uint8Array<ArrayBuffer>, options: { at: number }): number;
    flush(): void;
    close(): void;
  }>;
}

/**
 * The store of this site. It works in pages and workers; in a worker it writes by synchronous access handles, which some browsers
 * have alone.
 *
 * @throws NoticeError('file') with the reason if the browser keeps no files for this page: load without a store then
 */
export async function opfsStore(): Promise<FileStore> {
  const root = await openRoot();
  // Whoever reads a file may be done with it before its last part is kept.
  const writing = new Set<Promise<void>>();
  return {
    async open(file, replaces) {
      const name = await hexDigest(JSON.stringify([file.folder, file.path, file.size, file.tag]));
      const known = await root.getDirectoryHandle(name).catch(() => undefined);
      if (!known && replaces)
        await deleteWhere(root, (other) => sameFile(other, file) && !sameVersion(other, file));
      const folder = known ?? (await root.getDirectoryHandle(name, { create: true }));
      // Without room for it there is none for parts either: then nothing is kept.
      if (!(await aboutIn(folder)))
        await write(folder, ABOUT, [new TextEncoder().encode(JSON.stringify(file))]).catch(() => {});
      return keptParts(folder, writing);
    },
    async list() {
      const files: StoredListing[] = [];
      for await (const { about, folder } of foldersOf(root))
        if (about) files.push({ ...about, kept: await bytesIn(folder) });
      return files;
    },
    async delete(folder) {
      await Promise.allSettled(writing);
      await deleteWhere(root, (file) => folder === undefined || file?.folder === folder);
    },
  };
}

async function openRoot(): Promise<FileSystemDirectoryHandle> {
  const refuse = (why: string, cause?: unknown): never => {
    const what = 'This browser keeps no model files for this page, so they are loaded anew each time';
    throw new NoticeError('file', `${what}: ${why}.`, { cause });
  };
  const { storage } = navigator as { storage?: StorageManager };
  if (!storage?.getDirectory)
    refuse('it has no Origin Private File System, or the page is not from https:// or http://localhost');
  const { prototype } = FileSystemFileHandle;
  if (!('createWritable' in prototype) && !('createSyncAccessHandle' in prototype))
    refuse('only a Web Worker can write its Origin Private File System');
  try {
    const top = await (storage as StorageManager).getDirectory();
    return await top.getDirectoryHandle(ROOT, { create: true });
  } catch (error) {
    return refuse(
      `its Origin Private File System is closed (${(error as Error).message}), as in private windows`,
      error,
    );
  }
}

/** @param writing told of writes as long as they go on */
async function keptParts(folder: FileSystemDirectoryHandle, writing: Set<Promise<void>>): Promise<KeptParts> {
  const names = new Set<string>();
  for await (const name of folder.keys()) names.add(name);
  return {
    has: (begin, end) => names.has(partName(begin, end)),
    async read(begin, end) {
      const name = partName(begin, end);
      const bytes = await readPart(folder, name, end - begin);
      if (!bytes) names.delete(name);
      return bytes;
    },
    async write(begin, bytes) {
      const name = partName(begin, begin + bytes.length);
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
      const written = write(folder, name, [bytes, digest]);
      writing.add(written);
      try {
        await written;
      } catch {
        return false; // no room, deleted meanwhile, or another page is writing the same
      } finally {
        writing.delete(written);
      }
      names.add(name);
      return true;
    },
  };
}

const partName = (begin: number, end: number): string => `${begin}-${end}`;

/** A part, if it is whole. */
async function readPart(
  folder: FileSystemDirectoryHandle,
  name: string,
  length: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    const file = await (await folder.getFileHandle(name)).getFile();
    if (file.size !== length + DIGEST_BYTES) return undefined;
    const content = await file.arrayBuffer();
    const bytes = new Uint8Array(content.slice(0, length));
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return digest.every((byte, i) => byte === new Uint8Array(content)[length + i]) ? bytes : undefined;
  } catch {
    return undefined; // deleted meanwhile, or being written
  }
}

/** Writes a file, of which nothing is left of before. */
async function write(
  folder: FileSystemDirectoryHandle,
  name: string,
  parts: readonly Uint8Array<ArrayBuffer>[],
): Promise<void> {
  const handle = await folder.getFileHandle(name, { create: true });
  if (!('createSyncAccessHandle' in handle)) {
    const stream = await handle.createWritable();
    try {
      for (const part of parts) await stream.write(part);
      await stream.close();
    } catch (error) {
      await stream.abort().catch(() => {});
      throw error;
    }
    return;
  }
  const access = await (handle as unknown as WorkerFileHandle).createSyncAccessHandle();
  try {
    access.truncate(0);
    let at = 0;
    for (const part of parts) {
      const written = access.write(part, { at });
      if (written !== part.length)
        throw new NoticeError('file', `${name}: ${written} of ${part.length} bytes were written`);
      at += written;
    }
    access.flush();
  } finally {
    access.close();
  }
}

async function* foldersOf(root: FileSystemDirectoryHandle) {
  for await (const [name, handle] of root.entries()) {
    const folder = handle as FileSystemDirectoryHandle;
    yield { name, folder, about: await aboutIn(folder) };
  }
}

/** Which file a folder holds; undefined if that was not written whole. */
async function aboutIn(folder: FileSystemDirectoryHandle): Promise<StoredFile | undefined> {
  try {
    const file = await (await folder.getFileHandle(ABOUT)).getFile();
    return JSON.parse(await file.text()) as StoredFile;
  } catch {
    return undefined;
  }
}

/** Bytes of a folder's parts that are as long as they must be. */
async function bytesIn(folder: FileSystemDirectoryHandle): Promise<number> {
  let bytes = 0;
  for await (const [name, handle] of folder.entries()) {
    const [, begin, end] = /^(\d+)-(\d+)$/.exec(name) ?? [];
    if (end === undefined) continue;
    const length = Number(end) - Number(begin);
    const file = await (handle as FileSystemFileHandle).getFile().catch(() => undefined);
    if (file?.size === length + DIGEST_BYTES) bytes += length;
  }
  return bytes;
}

/** Deletes files; one of which it is not known which it is, is of no use and passes for any. */
async function deleteWhere(
  root: FileSystemDirectoryHandle,
  chosen: (file: StoredFile | undefined) => boolean,
): Promise<void> {
  const names: string[] = [];
  for await (const { name, about } of foldersOf(root)) if (chosen(about)) names.push(name);
  for (const name of names) {
    try {
      await root.removeEntry(name, { recursive: true });
    } catch (cause) {
      if ((cause as Error).name === 'NotFoundError') continue;
      throw new NoticeError('file', `A kept file cannot be deleted; another page may be writing it.`, {
        cause,
      });
    }
  }
}

function sameFile(a: StoredFile | undefined, b: StoredFile): boolean {
  return a?.folder === b.folder && a.path === b.path;
}

function sameVersion(a: StoredFile | undefined, b: StoredFile): boolean {
  return a?.size === b.size && a.tag === b.tag;
}

async function hexDigest(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
