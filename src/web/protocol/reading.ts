// What is read off a model: attention, the logit lens, longer answers; and the device's rates.

import type { ForwardResult, KernelResult, Peak, TuningResult } from '../../bench/index.ts';
import type { PatchGrid } from '../../models/index.ts';
import type { LogitLens, SampleAttention } from '../../patching/index.ts';
import type { Pin } from './pins.ts';
import type { CorruptionName } from './session.ts';
import type { Task } from './task.ts';

/** Whose activations are read: the clean run's, or a corrupt one's with what is pinned in it. */
export interface RunSpec {
  readonly run: 'clean' | CorruptionName;
  /** At work in a corrupt run; the clean one is read as it is. */
  readonly pins: readonly Pin[];
}

export interface AttentionSpec {
  readonly of: RunSpec;
  /** `text_encoder.cross_attn`, `vision.attn` */
  readonly attention: string;
  /** Positions that attend, averaged; none: all. */
  readonly from: readonly number[];
}

export interface LensSpec {
  readonly of: RunSpec;
  readonly tower: string;
  /** The token whose rank is asked for: its id, or the first token of a text as the model would answer it. */
  readonly token: number | string;
}

export interface LensReading {
  readonly lens: LogitLens;
  /** The token whose rank was asked for. */
  readonly token: number;
  /** Texts of all tokens in it. */
  readonly texts: ReadonlyMap<number, string>;
  /** Positions that are no features of an image, with their tokens. */
  readonly tokens: readonly { readonly position: number; readonly text: string }[];
  /** Where the features of the image lie that are among the positions. */
  readonly grids: readonly PatchGrid[];
}

export interface AnswerSpec {
  readonly corruption: CorruptionName;
  readonly pins: readonly Pin[];
  /** Another question about the same pictures; left out: the pair's. */
  readonly question?: string | undefined;
  readonly maxNewTokens: number;
}

/** An answer in the making. */
export interface AnswerPart {
  readonly run: 'plain' | 'patched';
  /** All of it so far. */
  readonly text: string;
}

/** A token of the unpatched answer, with the natural logarithm of its probability in either run. */
export interface ScoredToken {
  readonly text: string;
  readonly plain: number;
  readonly patched: number;
}

/** The corrupt run's answers, without and with what is pinned. */
export interface Answers {
  readonly plain: string;
  readonly patched: string;
  readonly tokens: readonly ScoredToken[];
}

/** What rates depend on. */
export interface BenchMachine {
  readonly adapter: string;
  readonly software: boolean;
  readonly features: readonly string[];
  /** Lanes of a subgroup; 0 where their number is not fixed, or unknown. */
  readonly subgroupSize: number;
  /** By their WebGPU names. */
  readonly limits: Readonly<Record<string, number>>;
  readonly browser: string;
  /** ISO 8601. */
  readonly date: string;
}

export interface BenchReport {
  readonly machine: BenchMachine;
  readonly peak: Peak | undefined;
  readonly kernels: readonly KernelResult[];
  readonly forward: readonly ForwardResult[];
}

export interface TuningReport {
  readonly machine: BenchMachine;
  readonly results: readonly TuningResult[];
}

export interface BenchSpec {
  /** Turns of each measurement, of which the median is taken. */
  readonly rounds: number;
}

export interface ReadingTasks {
  readonly attention: Task<AttentionSpec, never, SampleAttention>;
  readonly lens: Task<LensSpec, never, LensReading>;
  readonly answers: Task<AnswerSpec, AnswerPart, Answers>;
  /** Tells what it has so far after every measurement. */
  readonly bench: Task<BenchSpec, BenchReport, BenchReport>;
  /** Tells what it has so far after every choice. */
  readonly tune: Task<BenchSpec, TuningReport, TuningReport>;
}
