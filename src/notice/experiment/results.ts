// A results folder: what was asked, what has been computed, and where. Files are complete or absent, but for answers, which
// are added line by line; so an experiment that was stopped goes on where it stopped. Several processes may work in it.
//
//   run.json                         settings, model, adapter, counts, parts
//   evaluation/{task}.csv            the model's answers
//   cells/cells-{part}.parquet       per-cell measurements, some samples each
//   controls/{part}.json             self-checks of the same samples
//   attention/{part}.safetensors     attention of every head in the clean run, of the same samples
//   checksums/{file}.sha256          of each of these files
//   claims/*                         what processes are at, while there are any
//   tables/*.csv  figures/*.png      made of the above

import { access, appendFile, readdir, readFile, rename, rm, rmdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { CellRow } from '../../analysis/cell.ts';
import { NoticeError } from '../../errors.ts';
import { withClaim } from '../../platform/node/claim.ts';
import { hashFile } from '../../platform/node/digests.ts';
import { fileSource } from '../../platform/node/files.ts';
import { named, writeWhole } from '../../platform/node/whole-file.ts';
import { writeCells } from '../tables/parquet.ts';
import type { KeyedEvaluation } from './answers.ts';
import { readAttention, type SeenAttention } from './attention.ts';
import { ANSWERS_HEADER, formatAnswers, parseAnswers, type ReadAnswers, seal, unseal } from './checksums.ts';
import type { MeasuredControls } from './measure.ts';
import { KINDS, type PartKind, type ResultsStore, type RunRecord } from './record.ts';
import { differentSettings, type ExperimentSettings } from './settings.ts';

export type { RunRecord, TaskRecord } from './record.ts';

/** File names of a part. */
const PART_FILES: Readonly<Record<PartKind, { before: string; after: string }>> = {
  cells: { before: 'cells-', after: '.parquet' },
  controls: { before: '', after: '.json' },
  attention: { before: '', after: '.safetensors' },
};

/** A file of a part, or its checksum, that is not there or not as it was written. */
export interface Fault {
  readonly file: string;
  readonly kind: 'absent' | 'missing' | 'damaged';
}

export class ResultsFolder implements ResultsStore {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Opens or begins a results folder.
   *
   * @throws NoticeError('usage') if it holds another experiment, ('data') if its run.json is damaged
   */
  static async open(
    path: string,
    begin: () => RunRecord,
  ): Promise<{ folder: ResultsFolder; record: RunRecord }> {
    const folder = new ResultsFolder(path);
    const fresh = begin();
    if (!(await folder.has('run.json'))) {
      await folder.#checkOwn();
      await folder.claim(
        'record',
        async () => {
          if (!(await folder.has('run.json'))) await folder.saveRecord(fresh);
        },
        () => {},
      );
    }
    const { started, seconds, ...known } = await folder.record();
    const differences = differentSettings(known.settings, fresh.settings);
    if (differences.length > 0)
      throw new NoticeError(
        'usage',
        `${path} holds an experiment with other settings (${differences.join('; ')}). Choose another --out, or remove it.`,
      );
    return { folder, record: { ...known, ...fresh, tasks: known.tasks, started, seconds } };
  }

  /** Results are not mixed with other files. Another process may just be beginning the folder. */
  async #checkOwn(): Promise<void> {
    const names = await readdir(this.path).catch(() => [] as string[]);
    const foreign = names.filter((name) => name !== 'claims' && !name.startsWith('run.json.'));
    if (foreign.length > 0 && !(await this.has('run.json')))
      throw new NoticeError(
        'usage',
        `${this.path} is no results folder, but holds ${foreign.length} other files (${foreign.slice(0, 3).join(', ')}${foreign.length > 3 ? ', …' : ''}). Choose another --out.`,
      );
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

  async claim(
    name: string,
    work: () => Promise<void>,
    busy: 'skip' | ((owner: string) => void),
    signal?: AbortSignal,
  ): Promise<boolean> {
    const skip = new AbortController();
    const onWait = busy === 'skip' ? () => skip.abort() : busy;
    let begun = false;
    const once = () => {
      begun = true;
      return work();
    };
    const ends = AbortSignal.any([skip.signal, ...(signal ? [signal] : [])]);
    try {
      await withClaim(this.file('claims', name), once, { onWait, signal: ends });
      return true;
    } catch (error) {
      if (skip.signal.aborted) return false;
      if (!begun) signal?.throwIfAborted();
      throw error;
    } finally {
      // Every process claims the record last.
      if (name === 'record') await rmdir(this.file('claims')).catch(() => {});
    }
  }

  async record(): Promise<RunRecord> {
    const path = this.file('run.json');
    return unseal(await this.#text(path), path) as RunRecord;
  }

  async saveRecord(record: RunRecord): Promise<void> {
    // In one order, however the record came about.
    const { settings, version, model, adapter, inputs, criterion, look, shard, tasks, parts } = record;
    const { started, finished, seconds } = record;
    const what = { settings, version, model, adapter, inputs, criterion, look, shard, tasks, parts };
    await this.write(['run.json'], seal({ ...what, started, finished, seconds }));
  }

  /** Writes a file whole: it appears when it is complete. */
  async write(names: readonly string[], content: string | Uint8Array): Promise<void> {
    await writeWhole(this.file(...names), content);
  }

  /** Also mends the file, so that what a crash cut off does not become the beginning of the next line. */
  async evaluations(
    task: string,
    onDamage: (what: string) => void = () => {},
  ): Promise<readonly KeyedEvaluation[]> {
    const found = await this.answers(task);
    if (!found) return [];
    const { rows, cut, damaged } = found;
    if (damaged)
      onDamage(
        `${this.file('evaluation', `${task}.csv`)} is damaged: the lines that are not as they were written are asked again.`,
      );
    if (cut || damaged) await this.saveEvaluations(task, rows);
    return rows;
  }

  /** A task's answers as they stand; undefined if there is no such file. */
  async answers(task: string): Promise<ReadAnswers | undefined> {
    const name = `${task}.csv`;
    if (!(await this.has('evaluation', name))) return undefined;
    return parseAnswers(await this.#text(this.file('evaluation', name)));
  }

  async addEvaluations(task: string, evaluations: readonly KeyedEvaluation[]): Promise<void> {
    const name = `${task}.csv`;
    if (!(await this.has('evaluation', name))) await this.saveEvaluations(task, []);
    const path = this.file('evaluation', name);
    await named(path, () => appendFile(path, formatAnswers(evaluations)));
  }

  async saveEvaluations(task: string, evaluations: readonly KeyedEvaluation[]): Promise<void> {
    await this.write(['evaluation', `${task}.csv`], ANSWERS_HEADER + formatAnswers(evaluations));
  }

  async parts(kind: PartKind): Promise<string[]> {
    const { before, after } = PART_FILES[kind];
    return (await this.#names(kind))
      .filter((file) => file.startsWith(before) && file.endsWith(after))
      .map((file) => file.slice(before.length, -after.length))
      .sort();
  }

  async holds(kind: PartKind, part: string, onDamage: (what: string) => void = () => {}): Promise<boolean> {
    const fault = await this.fault(kind, part);
    if (fault && fault.kind !== 'absent') onDamage(`${fault.file} is ${fault.kind}`);
    return !fault;
  }

  /**
   * What is wrong with a part's file: `absent`, also while it is being written; `missing`, though it was there once; `damaged`.
   */
  async fault(kind: PartKind, part: string): Promise<Fault | undefined> {
    const file = this.partFile(kind, part);
    const sum = this.checksumFile(kind, part);
    const expected = await readFile(sum, 'latin1').catch(() => undefined);
    const there = await this.has(kind, basename(file));
    if (expected === undefined) return { file: there ? sum : file, kind: 'absent' };
    if (!there) return { file, kind: 'missing' };
    const found = await hashFile(file).catch(() => '');
    return expected === checksumLine(found, kind, file) ? undefined : { file, kind: 'damaged' };
  }

  async writeCells(
    part: string,
    rows: readonly CellRow[],
    controls: readonly MeasuredControls[],
  ): Promise<void> {
    await this.write(['controls', `${part}.json`], JSON.stringify(controls));
    await this.#addChecksum('controls', part);
    await writeCells(this.partFile('cells', part), rows);
    await this.#addChecksum('cells', part);
  }

  async writeAttention(part: string, file: Uint8Array): Promise<void> {
    await this.write(['attention', `${part}.safetensors`], file);
    await this.#addChecksum('attention', part);
  }

  /** What is damaged stays so under its new name. */
  async renamePart(kind: PartKind, from: string, to: string): Promise<void> {
    const sum = await readFile(this.checksumFile(kind, from), 'latin1').catch(() => '');
    await writeWhole(
      this.checksumFile(kind, to),
      checksumLine(sum.slice(0, 64), kind, this.partFile(kind, to)),
    );
    const file = this.partFile(kind, to);
    await named(file, () => rename(this.partFile(kind, from), file));
    await this.#remove(this.checksumFile(kind, from));
  }

  async keepOnly(parts: ReadonlyMap<PartKind, ReadonlySet<string>>): Promise<void> {
    const sums = new Set<string>();
    for (const kind of KINDS) {
      const wanted = parts.get(kind) ?? new Set();
      for (const part of wanted) sums.add(basename(this.checksumFile(kind, part)));
      for (const part of await this.parts(kind))
        if (!wanted.has(part)) await this.#remove(this.partFile(kind, part));
    }
    for (const name of await this.#names('checksums'))
      if (!sums.has(name)) await this.#remove(this.file('checksums', name));
    // Nothing is left to write or to do in a part: what is half-written, or claims one, is of a process that was killed.
    for (const place of [...KINDS, 'checksums', 'evaluation', ''])
      for (const name of await this.#names(place))
        if (name.endsWith('.tmp')) await this.#remove(this.file(place, name));
    for (const name of await this.#names('claims'))
      if (name !== 'record') await this.#remove(this.file('claims', name));
  }

  async controls(parts: readonly string[]): Promise<MeasuredControls[]> {
    const files = parts.map((part) => this.partFile('controls', part));
    const lists = await Promise.all(
      files.map(async (file) => JSON.parse(await this.#text(file)) as MeasuredControls[]),
    );
    return lists.flat();
  }

  /** Attention of a part's sample: megabytes. */
  async attention(part: string, sample: string): Promise<SeenAttention> {
    const source = await fileSource(this.partFile('attention', part));
    return readAttention(source, sample).finally(() => source.close());
  }

  partFile(kind: PartKind, part: string): string {
    const { before, after } = PART_FILES[kind];
    return this.file(kind, `${before}${part}${after}`);
  }

  checksumFile(kind: PartKind, part: string): string {
    return this.file('checksums', `${basename(this.partFile(kind, part))}.sha256`);
  }

  async #addChecksum(kind: PartKind, part: string): Promise<void> {
    const file = this.partFile(kind, part);
    await writeWhole(this.checksumFile(kind, part), checksumLine(await hashFile(file), kind, file));
  }

  async #remove(file: string): Promise<void> {
    await named(file, () => rm(file, { force: true }));
  }

  async #names(folder: string): Promise<string[]> {
    return (await this.has(folder)) ? readdir(this.file(folder)) : [];
  }

  async #text(path: string): Promise<string> {
    return readFile(path, 'utf8').catch((cause: Error) => {
      throw new NoticeError('data', `${path} cannot be read: ${cause.message}`, { cause });
    });
  }
}

/** As `sha256sum` prints it in the results folder. */
const checksumLine = (sum: string, kind: PartKind, file: string) => `${sum}  ${kind}/${basename(file)}\n`;

/** A record for an experiment that begins. */
export function newRecord(
  settings: ExperimentSettings,
  details: Pick<RunRecord, 'version' | 'model' | 'adapter'>,
): RunRecord {
  return { settings, ...details, started: new Date().toISOString(), tasks: [], seconds: 0 };
}
