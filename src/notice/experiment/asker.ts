// Questions in batches, with progress that is counted in operations.

import type { NoticeError } from '../../errors.ts';
import type { Processor, VisionLanguageModel } from '../../models/index.ts';
import { askPairs, type Evaluation, type Question } from './answers.ts';
import type { ImageReader } from './images.ts';

/** Pairs that are asked about at once. */
const BATCH = 16;

export class Asker {
  readonly #model: VisionLanguageModel;
  readonly #processor: Processor;
  readonly #reader: ImageReader;
  /** Operations that a question of the batch before took. */
  #each = 0;

  constructor(model: VisionLanguageModel, processor: Processor, reader: ImageReader) {
    this.#model = model;
    this.#processor = processor;
    this.#reader = reader;
  }

  /** How many to ask next: the first by itself, which tells what the others take. */
  get batch(): number {
    return this.#each > 0 ? BATCH : 1;
  }

  /**
   * Answers as {@link askPairs} gives them.
   *
   * @param onAsked told of how many questions the work is done
   */
  async ask(
    questions: readonly Question[],
    onAsked: (count: number) => void,
  ): Promise<(Evaluation | NoticeError)[]> {
    const { gpu } = this.#model;
    const each = this.#each;
    let done = 0;
    gpu.onWork((more) => {
      done += more;
      if (each > 0) onAsked(Math.min(questions.length, done / each));
    });
    try {
      return await askPairs(this.#model, this.#processor, this.#reader, questions);
    } finally {
      gpu.onWork(undefined);
      this.#each = done / questions.length;
    }
  }
}
