// A disk that is full, read-only or broken after so many bytes, below one folder, for all modules of this process.

import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * `ENOSPC`: no byte more fits; folders, names and empty files do. `EROFS`: nothing can be changed any more. `EIO`: what is written,
 * renamed or brought to the disk is an error.
 */
export type DiskFault = 'ENOSPC' | 'EROFS' | 'EIO';

export interface FailingDisk {
  /** Bytes written below the folder so far. */
  readonly written: number;
  /** Whether something has failed. */
  readonly failed: boolean;
  /** The disk is sound again. */
  heal(): void;
}

type Call = (...args: never[]) => unknown;
type Handle = fs.promises.FileHandle;
type Data = string | Uint8Array | Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>;

const WORDS = {
  ENOSPC: 'no space left on device',
  EROFS: 'read-only file system',
  EIO: 'i/o error',
} as const satisfies Record<DiskFault, string>;

/** @param bytes what can still be written; Infinity only counts */
export function failAfter(folder: string, bytes: number, code: DiskFault): FailingDisk {
  const root = resolve(folder);
  let written = 0;
  let failed = false;
  const inside = (path: unknown): path is string | URL | Buffer => {
    if (typeof path !== 'string' && !(path instanceof URL) && !Buffer.isBuffer(path)) return false;
    const name = resolve(path instanceof URL ? fileURLToPath(path) : String(path));
    return name === root || name.startsWith(root + sep);
  };
  const fault = (syscall: string, path?: unknown): Error => {
    failed = true;
    const where = path === undefined ? '' : ` '${path}'`;
    const error = new Error(`${code}: ${WORDS[code]}, ${syscall}${where}`);
    return Object.assign(error, { code, syscall, errno: -1, ...(path !== undefined && { path }) });
  };
  /** How many of `n` bytes go onto the disk. */
  const take = (n: number): number => {
    const fits = failed ? 0 : Math.min(n, bytes - written);
    if (fits < n) failed = true;
    const landed = fits < n && code === 'EROFS' ? 0 : fits;
    written += landed;
    return landed;
  };
  const bytesOf = (data: string | Uint8Array) => (typeof data === 'string' ? Buffer.from(data) : data);
  /** The data as far as they fit; then the error, as a disk reports it: of a write, without a name. */
  async function* fitting(data: Data): AsyncGenerator<Uint8Array> {
    const pieces = typeof data === 'string' || data instanceof Uint8Array ? [data] : data;
    for await (const piece of pieces) {
      const all = bytesOf(piece);
      const fits = take(all.length);
      yield all.subarray(0, fits);
      if (fits < all.length) throw fault('write');
    }
  }

  const { promises } = fs;
  const plainWrite = promises.writeFile;
  const undo: (() => void)[] = [];
  const put = <T extends object>(object: T, name: keyof T & string, make: (original: Call) => Call) => {
    const original = object[name] as Call;
    const made = make(original.bind(object));
    (object as Record<string, unknown>)[name] = made;
    undo.push(() => ((object as Record<string, unknown>)[name] = original));
  };
  /** Changes of the folder itself, by the first or second path. */
  const changes = (name: string, when: readonly DiskFault[]) => (original: Call) =>
    ((...args: unknown[]) => {
      if (failed && when.includes(code) && args.slice(0, 2).some(inside))
        return name.endsWith('Sync')
          ? (() => {
              throw fault(name.slice(0, -4), args[0]);
            })()
          : Promise.reject(fault(name, args[0]));
      return original(...(args as never[]));
    }) as Call;
  const READ_ONLY = [
    'mkdir',
    'rm',
    'rmdir',
    'unlink',
    'link',
    'symlink',
    'utimes',
    'truncate',
    'mkdtemp',
  ] as const;
  for (const name of READ_ONLY) put(promises, name, changes(name, ['EROFS']));
  put(promises, 'rename', changes('rename', ['EROFS', 'EIO']));
  for (const name of ['mkdirSync', 'mkdtempSync', 'rmSync', 'renameSync'] as const)
    put(fs, name, changes(name, ['EROFS']));

  for (const name of ['writeFile', 'appendFile'] as const)
    put(
      promises,
      name,
      (original) =>
        (async (path: never, data: Data, options: never) => {
          if (!inside(path)) return original(path, data as never, options);
          if (failed && code === 'EROFS') throw fault('open', path);
          const add = name === 'appendFile' ? ({ flag: 'a' } as never) : options;
          return plainWrite(path, fitting(data) as never, add);
        }) as Call,
    );
  put(
    promises,
    'copyFile',
    (original) =>
      (async (from: never, to: never, mode: never) => {
        if (!inside(to)) return original(from, to, mode);
        await promises.writeFile(to, await promises.readFile(from));
      }) as Call,
  );
  put(
    fs,
    'writeFileSync',
    (original) =>
      ((path: never, data: string | Uint8Array, options: never) => {
        if (!inside(path)) return original(path, data as never, options);
        if (failed && code === 'EROFS') throw fault('open', path);
        const all = bytesOf(data);
        const fits = take(all.length);
        original(path, all.subarray(0, fits) as never, options);
        if (fits < all.length) throw fault('write');
      }) as Call,
  );
  put(
    promises,
    'open',
    (original) =>
      (async (path: never, flags: unknown = 'r', mode: never) => {
        const writes = inside(path) && flags !== 'r';
        if (writes && failed && code === 'EROFS') throw fault('open', path);
        const handle = (await original(path, flags as never, mode)) as Handle;
        return writes ? failing(handle) : handle;
      }) as Call,
  );

  function failing(handle: Handle): Handle {
    const write = handle.write.bind(handle) as unknown as (...args: unknown[]) => Promise<unknown>;
    const sync = handle.sync.bind(handle);
    return Object.assign(handle, {
      write: async (data: Uint8Array, offset = 0, length = data.length - offset, position?: number) => {
        const fits = take(length);
        if (fits < length && fits === 0) throw fault('write');
        return write(data, offset, fits, position);
      },
      writeFile: async (data: string) => {
        for await (const piece of fitting(data)) await write(piece);
      },
      sync: async () => {
        if (failed && code === 'EIO') throw fault('fsync');
        await sync();
      },
    });
  }

  syncBuiltinESMExports();
  return {
    get written() {
      return written;
    },
    get failed() {
      return failed;
    },
    heal() {
      for (const one of undo.splice(0).reverse()) one();
      syncBuiltinESMExports();
    },
  };
}
