// Whether a results folder holds what its record says, all of it and as it was written.

import { NoticeError } from '../../errors.ts';
import { KINDS, type PartKind, partsWith } from './record.ts';
import type { ResultsFolder, RunRecord } from './results.ts';

export interface FolderState {
  /** Names of the parts whose files are sound: measurements with their controls, and attention. */
  readonly cells: readonly string[];
  readonly attention: readonly string[];
  /** What is not: sentences that name the files. */
  readonly faults: readonly string[];
  /** Parts that lack results because the run is not finished. */
  readonly open: number;
}

/** Reads every file of results. */
export async function inspect(folder: ResultsFolder, record: RunRecord): Promise<FolderState> {
  const { parts = [], tasks, finished } = record;
  const faults: string[] = [];
  const bad = new Map<PartKind, Set<string>>();
  const open = new Set<string>();
  for (const kind of KINDS) {
    const names = new Set<string>();
    bad.set(kind, names);
    for (const name of partsWith(kind, parts)) {
      const fault = await folder.fault(kind, name);
      if (!fault) continue;
      names.add(name);
      if (fault.kind === 'absent' && !finished) open.add(name);
      else faults.push(`${fault.file} is ${fault.kind === 'absent' ? 'missing' : fault.kind}`);
    }
  }
  for (const { task, asked } of tasks) {
    const file = folder.file('evaluation', `${task}.csv`);
    const answers = await folder.answers(task);
    if (!answers) faults.push(`${file} is missing`);
    else if (answers.damaged || (finished && (answers.cut || answers.rows.length !== asked)))
      faults.push(`${file} is damaged: ${answers.rows.length} of ${asked} answers are as they were written`);
  }
  const sound = (...kinds: PartKind[]) =>
    partsWith(kinds[0] as PartKind, parts).filter((name) => !kinds.some((kind) => bad.get(kind)?.has(name)));
  return { cells: sound('cells', 'controls'), attention: sound('attention'), faults, open: open.size };
}

/** What a folder lacks, in a sentence; undefined if it is finished and sound. */
export function lacks({ parts, finished }: RunRecord, { open, faults }: FolderState): string | undefined {
  const sentences = finished
    ? []
    : [
        parts
          ? `the run is not finished: ${open} of ${parts.length} parts have not all their results yet`
          : 'the run is not finished: its samples are not chosen yet',
      ];
  if (faults.length > 0) sentences.push(faults.join('; '));
  return sentences.length > 0 ? sentences.join('; ') : undefined;
}

/** @throws NoticeError('data') naming every file that is damaged or missing */
export function checkFinished(folder: ResultsFolder, record: RunRecord, state: FolderState): void {
  const lacking = lacks(record, state);
  if (lacking === undefined) return;
  throw new NoticeError(
    'data',
    `${folder.path} cannot be reported: ${lacking}. \`notice run\` with the same settings computes what is not there; ` +
      '`notice report --partial` shows the rest.',
  );
}
