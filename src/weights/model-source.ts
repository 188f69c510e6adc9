// A model folder in Hugging Face's layout, wherever it lies: on disk, on a web server, in a browser's file picker.

import { type ByteSource, blobSource } from './byte-source.ts';
import { ModelFileError } from './errors.ts';
import type { FileStore } from './file-store.ts';
import { parseJson } from './json.ts';
import { decodeUtf8 } from './utf8.ts';

export interface ModelSource {
  /** For messages: path or URL. */
  readonly name: string;
  /**
   * Opens a file; `file` is its path in the folder, with `/` between names. The caller closes it.
   *
   * @returns undefined if the folder has no such file
   * @throws ModelFileError if the path leads out of the folder, WeightsError if the file cannot be opened
   */
  open(file: string): Promise<ByteSource | undefined>;
  /** Why a file counts as missing, for messages, where the folder knows more of it. */
  absence?(file: string): Promise<string | undefined>;
  /** The same folder, with what is read of it kept in a store; folders at hand have no need of one. */
  keptIn?(cache: FileStore): ModelSource;
}

/**
 * The model folder that a browser's user chose: a map from path to file, or the files of
 * `<input type="file" webkitdirectory>`, whose paths begin with the folder's own name.
 */
export function filesFolder(
  files: Iterable<File> | ReadonlyMap<string, Blob>,
  name = 'the chosen files',
): ModelSource {
  const byPath: ReadonlyMap<string, Blob> =
    files instanceof Map
      ? files
      : new Map(Array.from(files as Iterable<File>, (file) => [pathOf(file), file]));
  return {
    name,
    async open(file) {
      checkFileName(file, name);
      const blob = byPath.get(file);
      return blob && blobSource(blob, `${name}/${file}`);
    },
  };
}

/** The path below the chosen folder. */
function pathOf(file: File): string {
  return file.webkitRelativePath ? file.webkitRelativePath.replace(/^[^/]*\//, '') : file.name;
}

/** Throws ModelFileError unless `file` is a relative path that stays in the folder. */
export function checkFileName(file: string, folder: string): void {
  const unsafe = (part: string) => part === '' || part === '.' || part === '..' || /[\\\0]/.test(part);
  if (file.split('/').some(unsafe))
    throw new ModelFileError(`${folder}: ${JSON.stringify(file)} is not a path inside the model folder.`);
}

export async function hasFile(source: ModelSource, file: string): Promise<boolean> {
  const bytes = await source.open(file);
  await bytes?.close();
  return bytes !== undefined;
}

/** What a folder knows of a missing file, as a part of a message. */
export async function why(source: ModelSource, file: string): Promise<string> {
  const reason = await source.absence?.(file);
  return reason === undefined ? '' : ` (${reason})`;
}

/**
 * The text of a file, which must be UTF-8.
 *
 * @throws ModelFileError if the file is missing or not UTF-8 (with the place)
 */
export async function readText(source: ModelSource, file: string): Promise<string> {
  const opened = await source.open(file);
  if (!opened)
    throw new ModelFileError(
      `${source.name} has no ${file}${await why(source, file)}. Is it a complete Hugging Face model folder?`,
    );
  const bytes = await opened.read(0, opened.size).finally(() => opened.close());
  try {
    return decodeUtf8(bytes);
  } catch (cause) {
    throw new ModelFileError(`${opened.name} ${(cause as Error).message}.`, { cause });
  }
}

/**
 * The value of a JSON file. What it holds is for the caller to check.
 *
 * @param uniqueKeys also refuse an object in which a key stands twice
 * @throws ModelFileError if the file is missing, not UTF-8 or not JSON (with the place)
 */
export async function readJson(
  source: ModelSource,
  file: string,
  options?: { uniqueKeys?: boolean },
): Promise<unknown> {
  const text = await readText(source, file);
  try {
    return parseJson(text, options);
  } catch (cause) {
    throw new ModelFileError(`${source.name}/${file} is not valid JSON: ${(cause as Error).message}.`, {
      cause,
    });
  }
}
