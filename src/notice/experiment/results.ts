// A results folder: what was asked, what has been computed, and where. Files are complete or absent, but for answers, which
// are added line by line; so an experiment that was stopped goes on where it stopped.
//
//   run.json                         settings, model, adapter, counts, parts
//   evaluation/{task}.csv            the model's answers
//   cells/cells-{part}.parquet       per-cell measurements, some samples each
//   controls/{part}.json             self-checks of the same samples
//   attention/{part}.safetensors     attention of every head in the clean run, of the same samples
//   tables/*.csv  figures/*.png      made of the above

import { access, appendFile, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import type { CellRow } from '../../analysis/cell.ts';
import { NoticeError } from '../../errors.ts';
import { fileSource } from '../../platform/node/files.ts';
import { writeWhole } from '../../platform/node/whole-file.ts';
import { writeCells } from '../tables/parquet.ts';
import type { KeyedEvaluation } from './answers.ts';
import { readAttention, type SampleAttention } from './attention.ts';
import type { MeasuredControls } from './measure.ts';
import type { PartKind, ResultsStore, RunRecord } from './record.ts';
import { differentSettings, type ExperimentSettings } from './settings.ts';

export type { RunRecord, TaskRecord } from './record.ts';

/** File names of a part. */
const PART_FILES: Readonly<Record<PartKind, { before: string; after: string }>> = {
  cells: { before: 'cells-', after: '.parquet' },
  controls: { before: '', after: '.json' },
  attention: { before: '', after: '.safetensors' },
};

const EVALUATION_COLUMNS = [
  'id',
  'category',
  'correct',
  'incorrect',
  'answer',
  'corruptAnswer',
  'cleanCorrect',
  'corruptIncorrect',
  'key',
] as const satisfies readonly (keyof KeyedEvaluation)[];

/** Text is written as it is, since it is read again: nothing is done about what a spreadsheet takes for a formula. */
const CSV = { record_delimiter: '\r\n', quoted_match: /[\r\n]/ };
const EVALUATION_HEADER = stringify([EVALUATION_COLUMNS], CSV);

export class ResultsFolder implements ResultsStore {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Opens or begins a results folder.
   *
   * @throws NoticeError('usage') if it holds another experiment
   */
  static async open(
    path: string,
    begin: () => RunRecord,
  ): Promise<{ folder: ResultsFolder; record: RunRecord }> {
    const folder = new ResultsFolder(path);
    const fresh = begin();
    if (await folder.has('run.json')) {
      const { started, seconds, ...known } = await folder.record();
      const differences = differentSettings(known.settings, fresh.settings);
      if (differences.length > 0)
        throw new NoticeError(
          'usage',
          `${path} holds an experiment with other settings (${differences.join('; ')}). Choose another --out, or remove it.`,
        );
      return { folder, record: { ...known, ...fresh, tasks: known.tasks, started, seconds } };
    }
    await folder.saveRecord(fresh);
    return { folder, record: fresh };
  }

  /** An existing one. */
  static async existing(path: string): Promise<{ folder: ResultsFolder; record: RunRecord }> {
    const folder = new ResultsFolder(path);
    if (!(await folder.has('run.json')))
      throw new NoticeError('usage', `${path} is not a results folder: it has no run.json`);
    return { folder, record: await folder.record() };
  }

  file(...names: string[]): string {
    return join(this.path, ...names);
  }

  async has(...names: string[]): Promise<boolean> {
    return access(this.file(...names)).then(
      () => true,
      () => false,
    );
  }

  async record(): Promise<RunRecord> {
    return JSON.parse(await readFile(this.file('run.json'), 'utf8')) as RunRecord;
  }

  async saveRecord(record: RunRecord): Promise<void> {
    // In one order, however the record came about.
    const { settings, version, model, adapter, inputs, criterion, look, warnings, answered } = record;
    const { tasks, parts, started, finished, seconds } = record;
    const what = { settings, version, model, adapter, inputs, criterion, look, warnings, answered };
    await this.write(
      ['run.json'],
      `${JSON.stringify({ ...what, tasks, parts, started, finished, seconds }, undefined, 2)}\n`,
    );
  }

  /** Writes a file whole: it appears when it is complete. */
  async write(names: readonly string[], content: string | Uint8Array): Promise<void> {
    await writeWhole(this.file(...names), content);
  }

  async evaluations(task: string): Promise<KeyedEvaluation[]> {
    const path = this.file('evaluation', `${task}.csv`);
    if (!(await this.has('evaluation', `${task}.csv`))) return [];
    const text = await readFile(path, 'utf8');
    const { rows, whole } = parseEvaluations(text);
    // What a crash cut off must not become the beginning of the next line.
    if (!whole) await this.saveEvaluations(task, rows);
    return rows;
  }

  async addEvaluations(task: string, evaluations: readonly KeyedEvaluation[]): Promise<void> {
    if (!(await this.has('evaluation', `${task}.csv`))) await this.saveEvaluations(task, []);
    await appendFile(this.file('evaluation', `${task}.csv`), formatEvaluations(evaluations));
  }

  async saveEvaluations(task: string, evaluations: readonly KeyedEvaluation[]): Promise<void> {
    await this.write(['evaluation', `${task}.csv`], EVALUATION_HEADER + formatEvaluations(evaluations));
  }

  async parts(kind: PartKind): Promise<string[]> {
    if (!(await this.has(kind))) return [];
    const { before, after } = PART_FILES[kind];
    return (await readdir(this.file(kind)))
      .filter((file) => file.startsWith(before) && file.endsWith(after))
      .map((file) => file.slice(before.length, -after.length))
      .sort();
  }

  async writeCells(
    part: string,
    rows: readonly CellRow[],
    controls: readonly MeasuredControls[],
  ): Promise<void> {
    await this.write(['controls', `${part}.json`], JSON.stringify(controls));
    await writeCells(this.#partFile('cells', part), rows);
  }

  async writeAttention(part: string, file: Uint8Array): Promise<void> {
    await this.write(['attention', `${part}.safetensors`], file);
  }

  async renamePart(kind: PartKind, from: string, to: string): Promise<void> {
    await rename(this.#partFile(kind, from), this.#partFile(kind, to));
  }

  async removePart(kind: PartKind, part: string): Promise<void> {
    await rm(this.#partFile(kind, part), { force: true });
  }

  /** Files of cells, in the order of the run, without those of data or models that were replaced. */
  async cellFiles(): Promise<string[]> {
    return (await this.#current('cells')).map((part) => this.#partFile('cells', part));
  }

  async controls(): Promise<MeasuredControls[]> {
    const files = (await this.#current('controls')).map((part) => this.#partFile('controls', part));
    const lists = await Promise.all(
      files.map(async (file) => JSON.parse(await readFile(file, 'utf8')) as MeasuredControls[]),
    );
    return lists.flat();
  }

  /** Attention of a task's samples, by their ids. */
  async attention(task: string): Promise<Map<string, SampleAttention>> {
    const { parts = [] } = await this.record();
    const own = new Set(parts.filter((part) => part.task === task).map(({ name }) => name));
    const found = new Map<string, SampleAttention>();
    for (const part of await this.#current('attention')) {
      if (!own.has(part)) continue;
      const source = await fileSource(this.#partFile('attention', part));
      const read = await readAttention(source).finally(() => source.close());
      for (const [id, attention] of read) found.set(id, attention);
    }
    return found;
  }

  #partFile(kind: PartKind, part: string): string {
    const { before, after } = PART_FILES[kind];
    return this.file(kind, `${before}${part}${after}`);
  }

  /** Parts of the run as it is now. */
  async #current(kind: PartKind): Promise<string[]> {
    const found = await this.parts(kind);
    const { parts } = await this.record();
    return parts ? parts.map(({ name }) => name).filter((name) => found.includes(name)) : found;
  }
}

/** A record for an experiment that begins. */
export function newRecord(
  settings: ExperimentSettings,
  details: Pick<RunRecord, 'version' | 'model' | 'adapter'>,
): RunRecord {
  return { settings, ...details, started: new Date().toISOString(), tasks: [], seconds: 0 };
}

function formatEvaluations(evaluations: readonly KeyedEvaluation[]): string {
  const records = evaluations.map((row) => EVALUATION_COLUMNS.map((name) => String(row[name])));
  return stringify(records, CSV);
}

/** The complete lines of a table that a crash may have cut off, and whether that is all of it. */
function parseEvaluations(text: string): { rows: KeyedEvaluation[]; whole: boolean } {
  if (!text.startsWith(EVALUATION_HEADER)) return { rows: [], whole: false };
  for (let end = text.lastIndexOf('\r\n'); ; end = text.lastIndexOf('\r\n', end - 1)) {
    try {
      const lines = text.slice(0, end + 2);
      const rows = parse(lines, { columns: true, record_delimiter: '\r\n' }) as EvaluationCells[];
      return { rows: rows.map(asEvaluation), whole: lines === text };
    } catch {
      // This line break stands inside a cell.
    }
  }
}

type EvaluationCells = Record<keyof KeyedEvaluation, string>;

function asEvaluation(row: EvaluationCells): KeyedEvaluation {
  return {
    ...row,
    cleanCorrect: row.cleanCorrect === 'true',
    corruptIncorrect: row.corruptIncorrect === 'true',
  };
}
