// Files on disk for src/weights.

import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ByteSource, checkRange } from '../../weights/byte-source.ts';
import { WeightsError } from '../../weights/errors.ts';
import { checkFileName, type ModelSource } from '../../weights/model-source.ts';
import { didYouMean } from './near-path.ts';

/**
 * A file on disk, open until it is closed.
 *
 * @throws WeightsError if it is missing, not a file, or cannot be opened
 */
export async function fileSource(path: string): Promise<ByteSource> {
  const source = await openPath(path);
  if (!source) throw new WeightsError(`${path} does not exist.${await didYouMean(path)}`);
  return source;
}

/** A model folder on disk. Links may lead out of it: the hub's cache is made of such links. */
export function nodeFolder(path: string): ModelSource {
  return {
    name: path,
    async open(file) {
      checkFileName(file, path);
      const source = await openPath(join(path, file));
      if (!source && !(await stat(path).catch(() => undefined))?.isDirectory())
        throw new WeightsError(`The model folder ${path} does not exist.`);
      return source;
    },
  };
}

/** Undefined if there is no such file. */
async function openPath(path: string): Promise<ByteSource | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new WeightsError(`${path} cannot be opened: ${message}`, { cause });
  }
  const status = await handle.stat();
  if (!status.isFile()) {
    await handle.close();
    throw new WeightsError(`${path} is not a file.`);
  }
  return handleSource(handle, path, status.size);
}

function handleSource(handle: FileHandle, name: string, size: number): ByteSource {
  return {
    name,
    size,
    async read(offset, length) {
      checkRange(this, offset, length);
      const bytes = new Uint8Array(length);
      // The system may return less than was asked for (Linux: at most 2 GiB at a time).
      for (let filled = 0; filled < length; ) {
        const { bytesRead } = await handle
          .read(bytes, filled, length - filled, offset + filled)
          .catch((cause: Error) => {
            throw new WeightsError(`${name} cannot be read: ${cause.message}`, { cause });
          });
        if (bytesRead === 0)
          throw new WeightsError(
            `${name} ends at byte ${offset + filled}; it had ${size} bytes when it was opened.`,
          );
        filled += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
}
