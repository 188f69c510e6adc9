// How probable a given answer is, token by token, whatever is done to the model meanwhile.

import { checkFields, checkWholes } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { Work } from '../gpu/index.ts';
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
import type { CustomHook, Intervention } from './intervention.ts';
import { towerOf } from './names.ts';
import { PatchProbe } from './probe.ts';
import { named, type RunOptions } from './run.ts';
import { fitsDevice, splitList } from './split.ts';

export interface AnswerScore {
  /** ln P(token | prompt, the answer's tokens before it), one for each token of the answer. */
  readonly logProbabilities: readonly number[];
  /** Of the whole answer: their sum. */
  readonly sum: number;
}

/** Edits of one of many runs: interventions, without custom hooks, which see all runs of a walk. */
export type EditsOfOne = Pick<RunOptions, 'interventions'>;

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
 *   positions it changes those. Of one sample it may be a list of sets, which are scored in one walk (or as few as memory allows):
 *   only what each set changes is computed, and each has the bits of its own pass. A set has interventions alone
 * @returns for several samples, or sets of edits, a score for each
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
  given: SampleInput,
  answer: readonly number[],
  edits: readonly EditsOfOne[],
  options?: Pick<RunOptions, 'signal'>,
): Promise<AnswerScore[]>;
export async function scoreAnswer(
  model: VisionLanguageModel,
  given: SampleInput | readonly SampleInput[],
  answer: readonly number[],
  edits: RunOptions | readonly EditsOfOne[] = {},
  options: Pick<RunOptions, 'signal'> = {},
): Promise<AnswerScore | AnswerScore[]> {
  const many = Array.isArray(given);
  const samples = samplesOf(many ? given : [given as SampleInput]);
  checkWholes(answer, 'answer', { to: model.vocabulary - 1 });
  if (answer.length === 0 || samples.length === 0)
    throw new NoticeError('usage', `no ${answer.length === 0 ? 'answer' : 'samples'} to score`);
  const tokens = Array.from(answer);
  if (Array.isArray(edits)) {
    if (many) throw new NoticeError('usage', 'sets of edits are of one sample, not of a list');
    return scoreSets(model, samples[0] as Sample, tokens, edits as readonly EditsOfOne[], options);
  }
  const own = edits as RunOptions;
  const { interventions, custom } = await named(model, own);
  const asked = () => {
    const runs = samples.map((sample) => new ModelRun(withOwnImages(beforeAnswer(model, sample, tokens))));
    return { runs, scored: runs, interventions };
  };
  const { gpu } = model;
  await gpu.ahead(model, (w) => model.forward(w, asked().runs, { answer: tokens }));
  const scores = await gpu.work(
    async (w) => (await record(w, model, tokens, asked(), { ...own, custom })).read(),
    own,
  );
  return many ? scores : (scores[0] as AnswerScore);
}

/** Scores under each of many sets of edits: runs that depart from the run without any. */
async function scoreSets(
  model: VisionLanguageModel,
  sample: Sample,
  answer: readonly number[],
  given: readonly EditsOfOne[],
  options: Pick<RunOptions, 'signal'>,
): Promise<AnswerScore[]> {
  const { gpu } = model;
  const sets: (readonly Intervention[])[] = [];
  for (const [i, set] of given.entries()) {
    checkFields(set, `edits[${i}]`, ['interventions']);
    sets.push((await named(model, { ...set, ...options })).interventions.map((one) => ofOne(one, i)));
  }
  if (sets.length === 0) return [];
  const read = beforeAnswer(model, sample, answer);
  const asked = (part: readonly (readonly Intervention[])[]): Asked => {
    const base = new ModelRun(read);
    const scored = part.map(
      (edits) => new ModelRun(read, base, new Set(edits.map(({ hook }) => towerOf(hook)))),
    );
    const interventions = part.flatMap((edits, i) =>
      edits.map((one) => {
        const run = scored[i] as ModelRun;
        return { ...one, run, ...(one.source && 'run' in one.source && { source: { ...one.source, run } }) };
      }),
    );
    return { runs: [base, ...scored], scored, interventions };
  };
  const fits = (part: readonly (readonly Intervention[])[]) =>
    fitsDevice(model, () => gpu.count((w) => record(w, model, answer, asked(part), {}), options));
  const scores: AnswerScore[] = [];
  for (const part of await splitList(sets, fits, () => 'a set of edits'))
    scores.push(
      ...(await gpu.work(async (w) => (await record(w, model, answer, asked(part), {})).read(), options)),
    );
  return scores;
}

/**
 * An intervention on the only run there is.
 *
 * @throws NoticeError('hook') if it is of another row of a batch, ('usage') if it depends on what else is run with it
 */
function ofOne(intervention: Intervention, set: number): Intervention {
  const { run = 0, source, op, hook } = intervention;
  const rows = [run, ...(source && 'run' in source ? [source.run] : [])];
  if (rows.some((row) => row !== 0))
    throw new NoticeError('hook', `edits[${set}], ${hook}: sets of edits are of one sample, batch row 0`);
  if (op === 'mean')
    throw new NoticeError('usage', `edits[${set}], ${hook}: a mean is over a batch; replace by its values`);
  if (!source || !('cached' in source)) return intervention;
  if (source.batch === undefined && source.cached.lengths.length > 1)
    throw new NoticeError('hook', `edits[${set}], ${hook}: which batch row of the cache is meant?`);
  return { ...intervention, source: { ...source, batch: source.batch ?? 0 } };
}

/** Runs of a walk, those of them whose answer is scored, and what is done to them. */
interface Asked {
  readonly runs: readonly ModelRun[];
  readonly scored: readonly ModelRun[];
  readonly interventions: readonly Intervention[];
}

/** Records a walk; `read` gives the scores. */
async function record(
  w: Work,
  model: VisionLanguageModel,
  answer: readonly number[],
  { runs, scored, interventions }: Asked,
  { custom, callbackTimeout, loopLimit }: RunOptions & { readonly custom?: readonly CustomHook[] },
): Promise<{ read(): Promise<AnswerScore[]> }> {
  const edits = new EditSet(w, runs, interventions, (tower, { sample }) => {
    if (tower !== model.towers.at(-1)) return undefined;
    return model.answers === 'decoder' ? 1 : sample.promptEnd; // behind a decoder's start token
  });
  const probe = new PatchProbe(w, { edits, ...(custom && { custom }), callbackTimeout, loopLimit, runs });
  const { tensor, rowOf } = await model.forward(w, runs, { probe, answer });
  for (const run of runs)
    if (sequenceIn(run, 'logits').length !== answer.length)
      throw new NoticeError('usage', `the family ${model.family} gives no logits of a whole answer`);
  const rows = scored.flatMap((run) => answer.map((_, token) => rowOf(run, token)));
  const ids = scored.flatMap(() => answer.map((id) => [id]));
  const scores = logSumExp(w, tensor, ids, rows);
  return {
    read: async () => {
      const [values] = (await w.read(scores)) as [Float32Array];
      await probe.verify();
      return scored.map((_, run) => scoreOf(values.subarray(2 * run * answer.length), answer));
    },
  };
}

/** @param values (log-sum-exp, logit) of each token, and more behind them */
function scoreOf(values: Float32Array, answer: readonly number[]): AnswerScore {
  const logProbabilities = answer.map((_, token) => {
    const value = (values[2 * token + 1] as number) - (values[2 * token] as number);
    if (Number.isFinite(value)) return value;
    throw new NoticeError('not-finite', `the logits of the answer's token ${token} are not finite`);
  });
  return { logProbabilities, sum: logProbabilities.reduce((a, b) => a + b, 0) };
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
