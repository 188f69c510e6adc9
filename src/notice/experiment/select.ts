// The samples of a run, and the parts in which they are measured.

import { NoticeError } from '../../errors.ts';
import type { VisionLanguageModel } from '../../models/index.ts';
import type { ChosenPair, RunContext, TaskState } from './context.ts';
import { prepareText } from './prepare.ts';
import type { TaskRecord } from './record.ts';

/** Samples of a small model that share a part, and its weights at most, in bytes. */
const SMALL_MODEL = { samples: 6, weightBytes: 2 ** 28 };

/**
 * Samples of one part: they go up the model in one walk, and a crash loses those in flight. Those of a small model share it,
 * since none fills an adapter by itself; a large model's is alone, since hours may hang on it.
 */
export function samplesPerPart({ weightBytes }: Pick<VisionLanguageModel, 'weightBytes'>): number {
  return weightBytes <= SMALL_MODEL.weightBytes ? SMALL_MODEL.samples : 1;
}

/** The run's stage: names the samples, and says where there are fewer than asked for. */
export async function selectSamples(run: RunContext): Promise<void> {
  const { record, store } = run;
  const before = record.tasks;
  record.tasks = run.tasks.map((task) => taskRecord(run, task));
  record.tasks = record.tasks.map((task) => {
    const noise = before.find((known) => known.task === task.task)?.noise;
    return noise ? { ...task, noise } : task;
  });
  await store.saveRecord(record);
}

function taskRecord(run: RunContext, task: TaskState): TaskRecord {
  const { settings, log } = run;
  const { input, unusable, evaluations, chosen } = task;
  const { task: name, rows } = input;
  const asked = evaluations.length;
  const correct = evaluations.filter(({ cleanCorrect }) => cleanCorrect).length;
  if (chosen.length === 0) throw new NoticeError('data', `${name}: ${whyNone(task, settings.select)}`);
  log(
    `${name}: ${asked} of ${rows} pairs asked, ${correct} answered correctly, ${chosen.length === 1 ? 'a sample' : `${chosen.length} samples`}` +
      (chosen.length < settings.samples
        ? ` (${settings.samples} were asked for${settings.select === 'balanced' ? '; as many as stay balanced by answer order' : ''})`
        : '') +
      (unusable.length > 0 ? `; ${unusable.length} left out` : ''),
  );
  const withoutGenerated = chosen.filter(({ generated }) => generated === undefined);
  if (settings.corruptions.includes('generated') && withoutGenerated.length === chosen.length)
    throw new NoticeError(
      'data',
      `${name}: none of the ${chosen.length} samples has a generated counterpart`,
    );
  return {
    task: name,
    pairs: rows,
    asked,
    correct,
    selected: chosen.map(({ pair }) => pair.id),
    unusable,
    withoutText: settings.corruptions.includes('str') ? withoutText(run, chosen) : {},
    ...(settings.corruptions.includes('generated')
      ? { withoutGenerated: withoutGenerated.map(({ pair }) => pair.id) }
      : {}),
  };
}

/** Reasons, counted. */
function whyNone({ input, unusable, questions, evaluations }: TaskState, select: string): string {
  const reasons = new Map<string, number>();
  for (const { reason } of unusable) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const right = evaluations.filter(({ cleanCorrect }) => cleanCorrect);
  const wrong = evaluations.length - right.length;
  if (wrong > 0) reasons.set('answered wrongly', wrong);
  const counted = [...reasons].map(([reason, count]) => `${reason} ${count}`).join(', ');
  const hint =
    wrong > 0 && wrong === evaluations.length ? ' Is the prompt template the right one for this model?' : '';
  const usable = new Set(questions.filter((question) => question.usable).map(({ pair }) => pair.id));
  if (select === 'balanced' && right.some(({ id }) => usable.has(id)))
    return (
      `${right.length} questions are answered correctly, but all of them name the correct option at the same place, so no ` +
      `balanced selection can be made (${counted || 'nothing is left out'}). --select first takes them as they are.`
    );
  return `none of the ${input.rows} pairs can be a sample (${counted}), so there is nothing to patch.${hint}`;
}

/** Samples whose options cannot be replaced token by token. */
function withoutText(
  { model, processor, settings }: RunContext,
  chosen: readonly ChosenPair[],
): Record<string, string> {
  const problems = chosen.flatMap(({ pair, answer }): [string, string][] => {
    const { textProblem } = prepareText(model, processor, pair, { answer, compat: settings.compat });
    return textProblem === undefined ? [] : [[pair.id, textProblem]];
  });
  return Object.fromEntries(problems);
}
