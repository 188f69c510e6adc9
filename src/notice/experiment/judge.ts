// Which pairs of a task can be asked, and which can be patched, before any is chosen.

import { NoticeError } from '../../errors.ts';
import type { ImageInput } from '../../models/index.ts';
import { mapConcurrent } from '../datasets/concurrent.ts';
import type { Pair } from '../datasets/pair.ts';
import { drawOrder } from '../datasets/select.ts';
import { dropOf, type JudgedPair, leaveOut, type RunContext, type TaskState } from './context.ts';
import { openImage } from './images.ts';
import { contentKey, keyedInputs } from './keys.ts';
import { otherTokens, type PairText, prepareText, tooLong, UnusablePair } from './prepare.ts';

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

interface FoundImage {
  /** SHA-256 of its bytes. */
  readonly digest: string;
  /** As the model reads a picture of its size, without the pixels. */
  readonly input: ImageInput;
}

/** Every image by its path, or what is wrong with it. */
type Images = ReadonlyMap<string, FoundImage | NoticeError>;

async function openAll(
  { reader, processor, signal }: RunContext,
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
    signal?.throwIfAborted();
    try {
      const { digest, image } = await openImage(reader, path);
      return { digest, input: processor.images.measure(image, path) };
    } catch (error) {
      if (error instanceof NoticeError) return error;
      throw error;
    }
  });
  return new Map(paths.map((path, i) => [path, found[i] as FoundImage | NoticeError]));
}

async function judgePair(
  run: RunContext,
  task: TaskState,
  pair: Pair,
  images: Images,
): Promise<JudgedPair | undefined> {
  const leave = (reason: string, problem: NoticeError) => {
    leaveOut(run, task, dropOf(pair, reason, problem));
    return undefined;
  };
  const [clean, corrupt] = [images.get(pair.cleanImage), images.get(pair.corruptImage)] as [
    FoundImage | NoticeError,
    FoundImage | NoticeError,
  ];
  if (clean instanceof NoticeError) return leave('bad-image', clean);
  if (corrupt instanceof NoticeError) return leave('bad-image', corrupt);
  const long = tooLong(run.model, run.processor, pair.cleanPrompt, clean.input);
  if (long) return leave('too-long', long);
  const unlike = (path: string, other: FoundImage) =>
    otherTokens(run.processor, pair, { path, input: other.input }, clean.input);
  const other = unlike(pair.corruptImage, corrupt);
  if (other) return leave('picture-sizes', other);
  const path = task.input.generated.get(pair.id);
  const found = path === undefined ? undefined : images.get(path);
  const usable = path !== undefined && found && !(found instanceof NoticeError) && !unlike(path, found);
  const generated = usable ? found.digest : undefined;
  const prepared = prepareOrLeave(run, task, pair, pair.correct);
  const digests = { clean: clean.digest, corrupt: corrupt.digest, generated };
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
