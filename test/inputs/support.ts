import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ErrorCode } from '../../src/errors.ts';
import { NoticeError } from '../../src/errors.ts';
import { Tokenizer } from '../../src/inputs/index.ts';
import { type HostTensor, memorySource, readTensors } from '../../src/weights/index.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Absolute path of a file in the project. */
export const projectPath = (path: string): string => `${ROOT}${path}`;
export const fixturePath = (path: string): string => projectPath(`test/fixtures/${path}`);

export function readJsonFile<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T;
}

export function readGolden(path: string): Promise<Map<string, HostTensor>> {
  return readTensors(memorySource(readFileSync(fixturePath(path)), path));
}

export function loadTokenizer(folder: string): Tokenizer {
  return Tokenizer.load({
    tokenizer: readFileSync(`${folder}/tokenizer.json`, 'utf8'),
    config: readFileSync(`${folder}/tokenizer_config.json`, 'utf8'),
  });
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Whether the arrays are equal; much faster on long arrays than `toEqual`, and it prints the first difference. */
export function firstDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): string | undefined {
  if (actual.length !== expected.length) return `length ${actual.length}, expected ${expected.length}`;
  for (let i = 0; i < actual.length; i++) {
    if (!Object.is(actual[i], expected[i])) return `[${i}] is ${actual[i]}, expected ${expected[i]}`;
  }
  return undefined;
}

/** For `expect(…).toThrow(…)`: a NoticeError of this code whose message fits. */
export function noticeError(code: ErrorCode, message: RegExp) {
  return {
    asymmetricMatch: (error: unknown) =>
      error instanceof NoticeError && error.code === code && message.test(error.message),
    toString: () => `NoticeError(${code}) ${message}`,
  };
}
