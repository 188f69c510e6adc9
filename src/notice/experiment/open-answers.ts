// Answers of `notice evaluate` while it is at it, in the user's cache: an evaluation that was ended goes on with them.

import { appendFile, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '../../platform/node/cache.ts';
import { named, writeWhole } from '../../platform/node/whole-file.ts';
import type { KeyedEvaluation } from './answers.ts';
import { ANSWERS_HEADER, formatAnswers, parseAnswers } from './checksums.ts';
import { contentKey, keyedInputs, type RunInputs } from './keys.ts';

export class OpenAnswers {
  readonly path: string;
  readonly #known: Map<string, KeyedEvaluation>;

  private constructor(path: string, known: readonly KeyedEvaluation[]) {
    this.path = path;
    this.#known = new Map(known.map((answer) => [answer.key, answer]));
  }

  /**
   * What an earlier evaluation of the same left, without the line that its end cut off.
   *
   * @param dtype storage of the weights, where another than in the file was asked for
   * @throws NoticeError('file') if the cache cannot be written
   */
  static async open(inputs: RunInputs, dtype?: string): Promise<OpenAnswers> {
    const name = await contentKey([keyedInputs(inputs), dtype]);
    const path = join(cacheFolder(), 'answers', `${name}.csv`);
    const text = await readFile(path, 'utf8').catch(() => '');
    const { rows } = parseAnswers(text);
    await writeWhole(path, ANSWERS_HEADER + formatAnswers(rows));
    return new OpenAnswers(path, rows);
  }

  get size(): number {
    return this.#known.size;
  }

  /** The answer that is known under a key. */
  get(key: string): KeyedEvaluation | undefined {
    return this.#known.get(key);
  }

  async add(answers: readonly KeyedEvaluation[]): Promise<void> {
    await named(this.path, () => appendFile(this.path, formatAnswers(answers)));
  }

  /** When everything is answered. */
  async remove(): Promise<void> {
    await rm(this.path, { force: true });
  }
}
