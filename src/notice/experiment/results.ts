// A results folder: what was asked, what has been computed, and where. Files are complete or absent, so an experiment
// that was stopped goes on where it stopped.
//
//   run.json                        settings, model, adapter, counts
//   evaluation/{task}.csv           the model's answers
//   cells/cells-{sample}.parquet    per-cell measurements, some samples each
//   controls/{sample}.json          self-checks of the same samples
//   attention/{task}.safetensors    attention of every head at the answer's tokens, clean run
//   tables/*.csv  figures/*.png     made of the above

import { access, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NoticeError } from '../../errors.ts';
import type { VisionLanguageModel } from '../../models/index.ts';
import { writeWhole } from '../../platform/node/whole-file.ts';
import { listParts, partName } from '../tables/parquet.ts';
import type { MeasuredControls } from './measure.ts';
import { type ExperimentSettings, fingerprint } from './settings.ts';

export interface RunRecord {
  readonly fingerprint: string;
  readonly settings: ExperimentSettings;
  readonly version: string;
  /** What the model and the device are. */
  readonly model: {
    readonly family: string;
    readonly answers?: VisionLanguageModel['answers'];
    readonly weightBytes: number;
    readonly towers: readonly string[];
  };
  readonly adapter: string;
  readonly started: string;
  /** Counts by task, once the samples are chosen. */
  tasks: TaskRecord[];
  finished?: string;
  /** Seconds of measuring, all sessions and shards together. */
  seconds: number;
}

export interface TaskRecord {
  readonly task: string;
  readonly pairs: number;
  /** Pairs that the model answers correctly. */
  readonly correct: number;
  readonly selected: readonly string[];
  /** Samples whose options cannot be replaced token by token, with the reason. */
  readonly withoutText: Readonly<Record<string, string>>;
  /** Samples without a generated counterpart, if that corruption was asked for. */
  readonly withoutGenerated?: readonly string[];
}

export class ResultsFolder {
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
      const record = await folder.record();
      if (record.fingerprint !== fresh.fingerprint)
        throw new NoticeError(
          'usage',
          `${path} holds an experiment with other settings (${difference(record.settings, fresh.settings)}). Choose another --out, or remove it.`,
        );
      // What does not decide results may change from one run to the next.
      return { folder, record: { ...record, settings: fresh.settings } };
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
    await this.write(['run.json'], `${JSON.stringify(record, undefined, 2)}\n`);
  }

  /** Writes a file whole: it appears when it is complete. */
  async write(names: readonly string[], content: string | Uint8Array): Promise<void> {
    await writeWhole(this.file(...names), content);
  }

  async cellsPath(sample: number): Promise<string> {
    await mkdir(this.file('cells'), { recursive: true });
    return this.file('cells', partName(sample));
  }

  async parts(): Promise<string[]> {
    return (await this.has('cells')) ? listParts(this.file('cells')) : [];
  }

  async controls(): Promise<MeasuredControls[]> {
    if (!(await this.has('controls'))) return [];
    const files = (await readdir(this.file('controls'))).filter((name) => name.endsWith('.json')).sort();
    const lists = await Promise.all(
      files.map(
        async (name) => JSON.parse(await readFile(this.file('controls', name), 'utf8')) as MeasuredControls[],
      ),
    );
    return lists.flat();
  }
}

/** A record for an experiment that begins. */
export function newRecord(
  settings: ExperimentSettings,
  details: Pick<RunRecord, 'version' | 'model' | 'adapter'>,
): RunRecord {
  return {
    fingerprint: fingerprint(settings),
    settings,
    ...details,
    started: new Date().toISOString(),
    tasks: [],
    seconds: 0,
  };
}

function difference(a: ExperimentSettings, b: ExperimentSettings): string {
  const keys = Object.keys(b) as (keyof ExperimentSettings)[];
  return keys
    .filter((key) => JSON.stringify(a[key]) !== JSON.stringify(b[key]))
    .map((key) => `${key}: ${JSON.stringify(a[key])}, now ${JSON.stringify(b[key])}`)
    .join('; ');
}
