// Whether the model can do the task at all: exact match of its answers (Table 2), before anything is patched. Questions
// are answered in their order, as many as the selection needs.

import { NoticeError } from '../../errors.ts';
import type { Processor, VisionLanguageModel } from '../../models/index.ts';
import type { Pair } from '../datasets/pair.ts';
import type { Drop } from '../datasets/report.ts';
import { BalancedDraw, type Draw, FirstDraw } from '../datasets/select.ts';
import type { Evaluation, KeyedEvaluation } from './answers.ts';
import { Asker } from './asker.ts';
import {
  type ChosenPair,
  dropOf,
  type JudgedPair,
  leaveOut,
  type RunContext,
  type TaskState,
} from './context.ts';
import type { ImageReader } from './images.ts';
import { prepareOrLeave } from './judge.ts';
import { questionKey } from './keys.ts';
import type { ShardRecord } from './record.ts';
import { changedSince } from './shards.ts';

/** Where answers are kept that an earlier evaluation gave, and those of this one as they come. */
export interface KeptAnswers {
  get(key: string): Evaluation | undefined;
  add(answers: readonly KeyedEvaluation[]): Promise<void>;
}

export interface EvaluateOptions {
  readonly onProgress?: (done: number, total: number) => void;
  readonly kept?: KeptAnswers | undefined;
}

/**
 * Answers to the clean prompt with both images of every pair.
 *
 * @returns evaluations, and the pairs that could not be asked
 */
export async function evaluatePairs(
  model: VisionLanguageModel,
  processor: Processor,
  reader: ImageReader,
  pairs: readonly Pair[],
  { onProgress = () => {}, kept }: EvaluateOptions = {},
): Promise<{ evaluations: Evaluation[]; drops: Drop[] }> {
  const evaluations: Evaluation[] = [];
  const drops: Drop[] = [];
  const asker = new Asker(model, processor, reader);
  onProgress(0, pairs.length);
  for (let first = 0; first < pairs.length; ) {
    const batch = pairs.slice(first, first + asker.batch);
    const keys = kept && (await Promise.all(batch.map((pair) => questionKey(reader, pair))));
    const known = batch.map((_, i) => keys && kept?.get(keys[i] as string));
    const open = batch.flatMap((pair, i) => (known[i] ? [] : [{ pair, key: keys?.[i] }]));
    const progress = (asked: number) => onProgress(first + batch.length - open.length + asked, pairs.length);
    const answers = open.length > 0 ? await asker.ask(open, progress) : [];
    const fresh = answers.flatMap((answer, i) => {
      const key = open[i]?.key;
      return answer instanceof NoticeError || key === undefined ? [] : [{ ...answer, key }];
    });
    await kept?.add(fresh);
    let next = 0;
    for (const [i, pair] of batch.entries()) {
      const answer = known[i] ?? (answers[next++] as Evaluation | NoticeError);
      if (answer instanceof NoticeError) drops.push(dropOf(pair, 'not-asked', answer));
      else evaluations.push(answer);
    }
    first += batch.length;
    onProgress(first, pairs.length);
  }
  return { evaluations, drops };
}

/** The run's stage. A shard that shares the work answers every n-th question until it has its share of samples. */
export async function evaluateTasks(run: RunContext): Promise<void> {
  for (const task of run.tasks) await evaluateTask(run, task);
}

async function evaluateTask(run: RunContext, task: TaskState): Promise<void> {
  const { settings, store, onProgress } = run;
  const { task: name } = task.input;
  const all = settings.evaluate === 'all';
  const wanted = task.questions.filter(({ usable }) => all || usable);
  const shared = run.shard?.of === 'questions';
  const share = shared ? (run.shard as ShardRecord) : { index: 1, count: 1 };
  const questions = wanted.filter((_, i) => i % share.count === share.index - 1);
  const known = new Map((await store.evaluations(name, run.log)).map((found) => [found.key, found]));
  const draw = drawFor(settings.select, settings.samples, share.count);
  const asker = new Asker(run.model, run.processor, run.reader);
  const looked: KeyedEvaluation[] = [];
  const failed = new Set<JudgedPair>();
  onProgress('evaluate', name, 0, questions.length);
  for (let next = 0; next < questions.length && (all || draw.missing > 0); ) {
    const question = questions[next] as JudgedPair;
    const answer = known.get(question.key);
    if (failed.has(question)) next++;
    else if (answer) {
      looked.push(answer);
      if (question.usable && answer.cleanCorrect && prepareOrLeave(run, task, question.pair, answer.answer))
        draw.add({ ...question, answer: answer.answer }, question.correctFirst);
      next++;
    } else {
      const open = questions.slice(next).filter((one) => !known.has(one.key) && !failed.has(one));
      if (run.shard && !shared)
        throw changedSince(run.shard, `${name} has ${open.length} questions without an answer`);
      run.signal?.throwIfAborted();
      const batch = open.slice(0, all ? asker.batch : Math.min(asker.batch, draw.missing));
      const found = await asker.ask(batch, (asked) =>
        onProgress('evaluate', name, next + asked, questions.length),
      );
      const fresh = batch.flatMap((one, i): KeyedEvaluation[] => {
        const result = found[i] as Evaluation | NoticeError;
        if (!(result instanceof NoticeError)) return [{ ...result, key: one.key }];
        failed.add(one);
        leaveOut(run, task, dropOf(one.pair, 'not-asked', result));
        return [];
      });
      await store.addEvaluations(name, fresh);
      for (const evaluation of fresh) known.set(evaluation.key, evaluation);
    }
    onProgress('evaluate', name, next, questions.length);
  }
  task.evaluations = looked;
  task.chosen = draw.chosen;
  // What was asked beyond the last question that was needed, or of data that has changed, goes.
  if (!shared) await store.saveEvaluations(name, looked);
}

/** @param shares how many share the draw */
function drawFor(select: 'balanced' | 'first', samples: number, shares: number): Draw<ChosenPair> {
  return select === 'first'
    ? new FirstDraw(Math.ceil(samples / shares))
    : new BalancedDraw(shares === 1 ? samples : 2 * Math.ceil(samples / 2 / shares));
}
