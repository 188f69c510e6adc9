// What a run says of itself (run.json), and where stages keep their results.

import type { CellRow } from '../../analysis/cell.ts';
import type { HeadPosition } from '../../analysis/effects.ts';
import type { VisionLanguageModel } from '../../models/index.ts';
import type { Drop } from '../datasets/report.ts';
import type { KeyedEvaluation } from './answers.ts';
import type { ExactMatch } from './exact-match.ts';
import type { RunInputs } from './keys.ts';
import type { MeasuredControls } from './measure.ts';
import type { ExperimentSettings } from './settings.ts';

export interface RunRecord {
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
  /** What the results were computed with; undefined before a run has begun. */
  inputs?: RunInputs | undefined;
  /** Which answers count as right. */
  criterion?: ExactMatch;
  /** Where attention is looked at. */
  look?: HeadPosition;
  /** The share that this folder holds; undefined if it holds all. */
  shard?: ShardRecord | undefined;
  /** Counts by task, once the samples are chosen. */
  tasks: TaskRecord[];
  /** Parts of the measurements, in their order. */
  parts?: readonly PartRecord[] | undefined;
  finished?: string;
  /** Seconds of measuring, all sessions and shards together. */
  seconds: number;
}

/** A job's share of a run: number `index` (from 1) of `count`. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

export interface ShardRecord extends Shard {
  /** Of what it is a share. */
  readonly of: 'questions' | 'measurements';
  readonly done: boolean;
}

export interface TaskRecord {
  readonly task: string;
  /** Rows of the manifest. */
  readonly pairs: number;
  /** Pairs whose questions were answered. */
  readonly asked: number;
  /** Of these, pairs that the model answers correctly. */
  readonly correct: number;
  readonly selected: readonly string[];
  /** Pairs that cannot be samples, each with its reason. */
  readonly unusable: readonly Drop[];
  /** Samples whose options cannot be replaced token by token, with the reason. */
  readonly withoutText: Readonly<Record<string, string>>;
  /** Samples without a generated counterpart, if that corruption was asked for. */
  readonly withoutGenerated?: readonly string[];
  /** Standard deviation of the samples' image embeddings, if noise was asked for, under the key of these images. */
  readonly noise?: { readonly deviation: number; readonly key: string };
}

/** Samples whose measurements stand in one file. */
export interface PartRecord {
  /** Number of its first sample among all, seven digits, and the key of its content. */
  readonly name: string;
  readonly task: string;
  readonly samples: readonly string[];
  /** SHA-256 of the samples' clean images, which attention is drawn on. */
  readonly images?: readonly string[];
  /** Keys of the samples' rows: a report is of the rows of the run. */
  readonly rows?: readonly string[];
  /** `noise`: of that corruption alone; else of all others, with attention. */
  readonly noise?: true;
  /** Of its sweeps, by their plan: what shards are cut by. */
  readonly operations?: number;
}

export const KINDS = ['cells', 'controls', 'attention'] as const;

/** Kinds of files that a part of the measurements has. */
export type PartKind = (typeof KINDS)[number];

/** Names of the parts that have a file of a kind. */
export function partsWith(kind: PartKind, parts: readonly PartRecord[]): string[] {
  return parts.filter(({ noise }) => kind !== 'attention' || !noise).map(({ name }) => name);
}

/** Where a run keeps its results. Whatever is written appears whole or not at all. */
export interface ResultsStore {
  /**
   * Does work that no other process of the same store does at the same time. While one does, waits, or with `skip` does nothing.
   *
   * @param signal ends the wait
   * @returns whether the work was done
   * @throws the signal's reason if it ended the wait
   */
  claim(
    name: string,
    work: () => Promise<void>,
    busy: 'skip' | ((owner: string) => void),
    signal?: AbortSignal,
  ): Promise<boolean>;
  record(): Promise<RunRecord>;
  saveRecord(record: RunRecord): Promise<void>;
  /** All that were added or saved. `onDamage` is told what is not as it was written. */
  evaluations(task: string, onDamage?: (what: string) => void): Promise<readonly KeyedEvaluation[]>;
  addEvaluations(task: string, evaluations: readonly KeyedEvaluation[]): Promise<void>;
  /** In place of all that were there. */
  saveEvaluations(task: string, evaluations: readonly KeyedEvaluation[]): Promise<void>;
  /** Names of the parts that have a file of this kind, sound or not. */
  parts(kind: PartKind): Promise<string[]>;
  /** Whether a part has a file of this kind, as it was written. */
  holds(kind: PartKind, part: string, onDamage?: (what: string) => void): Promise<boolean>;
  writeCells(part: string, rows: readonly CellRow[], controls: readonly MeasuredControls[]): Promise<void>;
  writeAttention(part: string, file: Uint8Array): Promise<void>;
  renamePart(kind: PartKind, from: string, to: string): Promise<void>;
  /** Removes what is of other parts, once all of these are there. */
  keepOnly(parts: ReadonlyMap<PartKind, ReadonlySet<string>>): Promise<void>;
}
