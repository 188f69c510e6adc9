// How probable a given answer is, token by token, whatever is done to the model meanwhile.

import { checkWholes } from '../check.ts';
import { NoticeError } from '../errors.ts';
import { logSumExp } from '../kernels/index.ts';
import {
  ModelRun,
  type Sample,
  type SampleInput,
  samplesOf,
  sequenceIn,
  type VisionLanguageModel,
  withOwnImages,
} from '../models/index.ts';
import { EditSet } from './edits.ts';
import { PatchProbe } from './probe.ts';
import { named, type RunOptions } from './run.ts';

export interface AnswerScore {
  /** ln P(token | prompt, the answer's tokens before it), one for each token of the answer. */
  readonly logProbabilities: readonly number[];
  /** Of the whole answer: their sum. */
  readonly sum: number;
}

/**
 * The log-probability of every token of a given answer (teacher forcing), in one pass: the model reads the prompt and all of
 * the answer but its last token, and each token's probability is that of the softmax, over the whole vocabulary, one position
 * before it. It equals what `generate` with `keepLogits` gives if it is made to choose these tokens.
 *
 * @param given one sample, or several that are run together: then edits can take values of one run into another, as in
 *   {@link runWithHooks}
 * @param answer token ids: `answerTokens(processor.tokenizer, text, processor.answerContext)` gives those of a text,
 *   `Generated.ids` are those of an answer that was generated. The token that ends an answer counts where it is given
 * @param edits interventions and hooks that are at work. One without positions changes the answer's positions, too; with
 *   positions it changes those
 * @returns for several samples a score for each
 * @throws NoticeError('usage') for an answer without tokens, or with one that does not exist; ('not-finite'); as
 *   {@link runWithHooks}
 */
export async function scoreAnswer(
  model: VisionLanguageModel,
  given: SampleInput,
  answer: readonly number[],
  edits?: RunOptions,
): Promise<AnswerScore>;
export async function scoreAnswer(
  model: VisionLanguageModel,
  given: readonly SampleInput[],
  answer: readonly number[],
  edits?: RunOptions,
): Promise<AnswerScore[]>;
export async function scoreAnswer(
  model: VisionLanguageModel,
  given: SampleInput | readonly SampleInput[],
  answer: readonly number[],
  edits: RunOptions = {},
): Promise<AnswerScore | AnswerScore[]> {
  const many = Array.isArray(given);
  const samples = samplesOf(many ? given : [given as SampleInput]);
  checkWholes(answer, 'answer', { to: model.vocabulary - 1 });
  if (answer.length === 0 || samples.length === 0)
    throw new NoticeError('usage', `no ${answer.length === 0 ? 'answer' : 'samples'} to score`);
  const scores = await scoreAnswers(model, samples, Array.from(answer), edits);
  return many ? scores : (scores[0] as AnswerScore);
}

async function scoreAnswers(
  model: VisionLanguageModel,
  samples: readonly Sample[],
  answer: readonly number[],
  options: RunOptions,
): Promise<AnswerScore[]> {
  const { gpu } = model;
  const { callbackTimeout, loopLimit } = options;
  const { interventions, custom } = await named(model, options);
  const runsOf = () =>
    samples.map((sample) => new ModelRun(withOwnImages(beforeAnswer(model, sample, answer))));
  const runs = runsOf();
  await gpu.ahead(model, (w) => model.forward(w, runsOf(), { answer }));
  return gpu.work(async (w) => {
    const edits = new EditSet(w, runs, interventions, (tower, { sample }) => {
      if (tower !== model.towers.at(-1)) return undefined;
      return model.answers === 'decoder' ? 1 : sample.promptEnd; // behind a decoder's start token
    });
    const probe = new PatchProbe(w, { edits, custom, callbackTimeout, loopLimit, runs });
    const { tensor, rowOf } = await model.forward(w, runs, { probe, answer });
    for (const run of runs)
      if (sequenceIn(run, 'logits').length !== answer.length)
        throw new NoticeError('usage', `the family ${model.family} gives no logits of a whole answer`);
    const rows = runs.flatMap((run) => answer.map((_, token) => rowOf(run, token)));
    const ids = runs.flatMap(() => answer.map((id) => [id]));
    const [values] = await w.read(logSumExp(w, tensor, ids, rows));
    await probe.verify();
    return runs.map((_, run) => {
      const logProbabilities = answer.map((_, token) => {
        const at = 2 * (run * answer.length + token);
        const value = values![at + 1]! - values![at]!;
        if (Number.isFinite(value)) return value;
        throw new NoticeError('not-finite', `the logits of the answer's token ${token} are not finite`);
      });
      return { logProbabilities, sum: logProbabilities.reduce((a, b) => a + b, 0) };
    });
  }, options);
}

/** The prompt with what the model has read when it comes to the answer's last token; a decoder reads that by itself. */
function beforeAnswer(model: VisionLanguageModel, sample: Sample, answer: readonly number[]): Sample {
  if (model.answers === 'decoder') return sample;
  const { ids, places, promptEnd = ids.length } = sample;
  const read = answer.slice(0, -1);
  const last = places?.at(-1) ?? 0;
  return {
    ...sample,
    ids: [...ids, ...read],
    promptEnd,
    ...(places && { places: [...places, ...read.map((_, i) => last + 1 + i)] }),
  };
}
