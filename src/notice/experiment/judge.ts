// Which pairs of a task can be asked, and which can be patched, before any is chosen.

import { NoticeError } from '../../errors.ts';
import { mapConcurrent } from '../datasets/concurrent.ts';
import type { Pair } from '../datasets/pair.ts';
import { drawOrder } from '../datasets/select.ts';
import { dropOf, type JudgedPair, leaveOut, type RunContext, type TaskState } from './context.ts';
import { openImage } from './images.ts';
import { contentKey, keyedInputs } from './keys.ts';
import { type PairText, prepareText, tooLong, UnusablePair } from './prepare.ts';

/** Images that are decoded at once. */
const AT_ONCE = 8;

/** Judges all pairs, and puts those that can be asked into the order in which they are. */
export async function judgePairs(run: RunContext): Promise<void> {
  for (const task of run.tasks) {
    for (const problem of task.input.problems) leaveOut(run, task, problem);
    const { pairs } = task.input;
    const { select, seed } = run.settings;
    const images = await openAll(run, pairs, task.input.generated);
    const questions: JudgedPair[] = [];
    for (const pair of select === 'first' ? pairs : drawOrder(pairs, seed)) {
      const judged = await judgePair(run, task, pair, images);
      if (judged) questions.push(judged);
    }
    task.questions = questions;
  }
}

/** Digest of every image by its path, or what is wrong with it. */
type Images = ReadonlyMap<string, string | NoticeError>;

async function openAll(
  { reader }: RunContext,
  pairs: readonly Pair[],
  generated: ReadonlyMap<string, string>,
): Promise<Images> {
  const paths = [
    ...new Set([
      ...pairs.flatMap(({ cleanImage, corruptImage }) => [cleanImage, corruptImage]),
      ...generated.values(),
    ]),
  ];
  const found = await mapConcurrent(paths, AT_ONCE, async (path) => {
    try {
      return (await openImage(reader, path)).digest;
    } catch (error) {
      if (error instanceof NoticeError) return error;
      throw error;
    }
  });
  return new Map(paths.map((path, i) => [path, found[i] as string | NoticeError]));
}

async function judgePair(
  run: RunContext,
  task: TaskState,
  pair: Pair,
  images: Images,
): Promise<JudgedPair | undefined> {
  const [clean, corrupt] = [images.get(pair.cleanImage), images.get(pair.corruptImage)];
  for (const found of [clean, corrupt]) {
    if (!(found instanceof NoticeError)) continue;
    leaveOut(run, task, dropOf(pair, 'bad-image', found));
    return undefined;
  }
  const long = tooLong(run.model, run.processor, pair.cleanPrompt);
  if (long) {
    leaveOut(run, task, dropOf(pair, 'too-long', long));
    return undefined;
  }
  const path = task.input.generated.get(pair.id);
  const found = path === undefined ? undefined : images.get(path);
  const generated = typeof found === 'string' ? found : undefined;
  const prepared = prepareOrLeave(run, task, pair, pair.correct);
  const digests = { clean: clean as string, corrupt: corrupt as string, generated };
  const { id, category, correct, incorrect, cleanPrompt } = pair;
  return {
    pair,
    digests,
    generated: generated && path,
    key: await contentKey([
      keyedInputs(run.record.inputs),
      run.settings.dtype,
      run.settings.subgroupMatrices,
      [id, category, correct, incorrect, cleanPrompt, digests.clean, digests.corrupt],
    ]),
    correctFirst: prepared?.correctFirst ?? false,
    usable: prepared !== undefined,
  };
}

/** A pair prepared for an answer; if that cannot be, it is left out. */
export function prepareOrLeave(
  run: RunContext,
  task: TaskState,
  pair: Pair,
  answer: string,
): PairText | undefined {
  try {
    return prepareText(run.model, run.processor, pair, { answer, compat: run.settings.compat });
  } catch (error) {
    if (!(error instanceof UnusablePair)) throw error;
    leaveOut(run, task, dropOf(pair, error.reason, error.cause as NoticeError));
    return undefined;
  }
}
