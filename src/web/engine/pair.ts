// Prepares a pair as an experiment does: what the model reads in its clean and its corrupt runs, which token plays which
// part, and what it answers to each. Runs in Node, too, when the page is built.

import { NoticeError } from '../../errors.ts';
import { type PreparedPrompt, patchGrids, type Sample } from '../../models/index.ts';
import type { Pair } from '../../notice/datasets/pair.ts';
import { type ImageReader, openImage } from '../../notice/experiment/images.ts';
import { type PreparedPair, preparePair } from '../../notice/experiment/prepare.ts';
import { readableToken } from '../../notice/token-text.ts';
import {
  corruptionOf,
  drawNoise,
  embeddingDeviation,
  generateWithHooks,
  type PatchPair,
} from '../../patching/index.ts';
import type { CorruptionName, PairSpec, PairText, RunAnswer } from '../protocol/session.ts';
import { firstToken } from './first-token.ts';
import type { OpenModel } from './session.ts';

/** A corrupt run before anything is patched in it. */
export type CorruptRun = Pick<PatchPair, 'corrupt' | 'noise' | 'noImage'>;

/** Where the pictures of a pair come from: under these names its reader finds them. */
export const CLEAN = 'the clean picture';
export const CORRUPT = 'the corrupt picture';

export interface SessionPair {
  readonly info: PairText;
  readonly clean: Sample;
  readonly corrupt: Readonly<Partial<Record<CorruptionName, CorruptRun>>>;
  readonly prompt: PreparedPrompt;
}

/** The longest answer that is asked for here; options are short. */
const MAX_NEW_TOKENS = 12;
/** Enough to see whether it begins with a capital letter; the first may be a lone `▁`. */
const FIRST_TOKENS = 2;

/**
 * The runs of a pair as a sweep takes them.
 *
 * @throws NoticeError('data') if it has no such corruption
 */
export function runsOf(
  { info: { correct, incorrect, textProblem }, clean, corrupt }: SessionPair,
  name: CorruptionName,
): PatchPair {
  const run = corrupt[name];
  if (!run) throw new NoticeError('data', `the pair has no ${name} corruption: ${textProblem}`);
  return { clean, correct, incorrect, ...run };
}

/**
 * @param reader finds {@link CLEAN} and {@link CORRUPT}
 * @throws NoticeError('image') for a picture, ('text') for a question that cannot be used; the signal's reason
 */
export async function prepareRuns(
  opened: OpenModel,
  spec: PairSpec,
  reader: ImageReader,
  signal?: AbortSignal,
): Promise<SessionPair> {
  const { model, processor } = opened;
  const asked = await openImage(reader, CLEAN);
  const question = processor.sample(asked.image, spec.question, CLEAN);
  const [said] = await answers(opened, [{ corrupt: question }], FIRST_TOKENS, signal);
  const prepared = await preparePair(model, processor, pairOf(spec), {
    reader,
    answer: processor.answer(said?.ids ?? []),
    compat: [],
  });
  const { clean, prompt, correct, incorrect, roles, textProblem, answerPositions, headGroups } = prepared;
  const image = await imageRun(opened, spec, prepared);
  const text = prepared.text;
  const runs = [{ corrupt: clean }, image, ...(text ? [text] : [])];
  const [cleanAnswer, imageAnswer, textAnswer] = (await answers(opened, runs, MAX_NEW_TOKENS, signal)).map(
    (run) => runAnswer(opened, run, correct, incorrect),
  ) as [RunAnswer, RunAnswer, RunAnswer | undefined];
  const info: PairText = {
    spec,
    correct,
    incorrect,
    clean: cleanAnswer,
    corrupt: { image: imageAnswer, ...(textAnswer && { text: textAnswer }) },
    textProblem,
    tokens: prompt.encoded.tokens.map((token, i) => ({
      position: prompt.positions[i] as number,
      text: readableToken(token),
      role: roles[i] ?? 'rest',
    })),
    corruptTokens: text && processor.encode(spec.corruptQuestion ?? spec.question).tokens.map(readableToken),
    length: clean.ids.length,
    answerPositions,
    headGroups,
    grids: patchGrids(model, clean),
  };
  return { info, clean, prompt, corrupt: { image, ...(text && { text: { corrupt: text.corrupt } }) } };
}

/** As a row of a manifest. */
function pairOf({ id = 'yours', question, correct, incorrect, corruptQuestion = question }: PairSpec): Pair {
  return {
    id,
    cleanImage: CLEAN,
    corruptImage: CORRUPT,
    cleanPrompt: question,
    corruptPrompt: corruptQuestion,
    correct,
    incorrect,
    category: '',
  };
}

async function imageRun(
  { model }: OpenModel,
  { image: corruption }: PairSpec,
  { clean, corruptImage }: PreparedPair,
): Promise<CorruptRun> {
  if (corruption.kind === 'no-image') return { corrupt: clean, noImage: true };
  if (corruption.kind !== 'noise') return { corrupt: corruptImage };
  const deviation = await embeddingDeviation(model, [[clean]]);
  const values = drawNoise(model, clean, corruption.scale * deviation, String(corruption.seed));
  return { corrupt: clean, noise: { hook: model.imageEmbedding, values } };
}

interface Answered {
  readonly ids: readonly number[];
  /** Of the answer's first token. */
  readonly logits: Float32Array;
}

/** What the model generates in each run, and the logits of its first step. */
async function answers(
  { model }: OpenModel,
  runs: readonly CorruptRun[],
  maxNewTokens: number,
  signal: AbortSignal | undefined,
): Promise<Answered[]> {
  const generated = await generateWithHooks(
    model,
    runs.map(({ corrupt }) => corrupt),
    {
      interventions: runs.flatMap((run, i) => corruptionOf(model, run, i)),
      maxNewTokens,
      keepLogits: true,
      signal,
    },
  );
  return generated.map(({ ids, logits }) => ({ ids, logits: logits[0] as Float32Array }));
}

function runAnswer(
  { processor }: OpenModel,
  { ids, logits }: Answered,
  correct: number,
  incorrect: number,
): RunAnswer {
  return { answer: processor.answer(ids), ...firstToken(processor, logits, { correct, incorrect }) };
}
