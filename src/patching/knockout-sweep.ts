// Attention knock-outs of many groups of edges, windows of blocks and heads at once: how information flows (Geva et al. 2023, section 4;
// for LLaVA Zhang et al. 2024). All go up with the run that lacks nothing, and have rows only from their window on, where they differ.

import { checkFields, checkFlag, checkList, checkText, checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import { type Sample, type SampleInput, samplesOf, type VisionLanguageModel } from '../models/index.ts';
import type { Batch } from './batch.ts';
import { chosenBlocks } from './blocks.ts';
import type { SweepJob } from './cells.ts';
import type { Edited } from './changes.ts';
import { checkIndices } from './columns.ts';
import type { Controls } from './controls.ts';
import { attentionOf, cutEdges, type Edges } from './knockout.ts';
import { METRIC_NUMBERS, measure } from './measure.ts';
import type { Metric } from './metric.ts';
import { parseSite } from './names.ts';
import { checkMeasures, measureOptions, type SweepOptions } from './sweep.ts';
import type { Baseline, BaseNumbers } from './walk-cells.ts';

/** Edges that are cut in one window of blocks after the other. */
export interface EdgeGroup extends Pick<Edges, 'from' | 'to' | 'attention' | 'heads'> {
  /** For figures; default `attention`. */
  readonly name?: string | undefined;
  /**
   * Which blocks are cut together. A number n: around each block l that has this attention the n blocks l − ⌊n/2⌋ to l + ⌈n/2⌉ − 1,
   * as many of them as there are (Geva et al. 2023 take 9 or 10). Or lists of blocks. Default 1.
   */
  readonly windows?: number | readonly (readonly number[])[] | undefined;
  /** Cut each of the heads by itself; default all together. */
  readonly eachHead?: boolean | undefined;
}

/** One sample, and what its positions are not to see. */
export interface KnockoutJob {
  readonly sample: SampleInput;
  /** First answer tokens. */
  readonly correct: number;
  readonly incorrect: number;
  readonly groups: readonly EdgeGroup[];
  /** What its runs are measured by; default that of the sweep. */
  readonly metric?: Metric | undefined;
}

/**
 * The four numbers of a knock-out: P'(correct), P' − P, LD' − LD, (P' − P) / P, where ' is the run without the edges and P, LD are
 * of the run that lacks nothing.
 */
export const KNOCKOUT_METRICS = ['p', 'p_effect', 'ld_effect', 'p_change'] as const;

export interface EdgeGroupResult {
  readonly name: string;
  readonly attention: string;
  /** Blocks that were cut together. */
  readonly windows: readonly (readonly number[])[];
  /** The middle block of each, around which it lies. */
  readonly layers: readonly number[];
  /** Heads that were cut one by one; undefined where they were cut together. */
  readonly heads: readonly number[] | undefined;
  /**
   * [window, numbers], or with heads [window, head, numbers]: the numbers are the four of {@link KNOCKOUT_METRICS}, or the two of
   * `METRIC_NUMBERS` where the job has a metric.
   */
  readonly shape: readonly number[];
  readonly data: Float32Array;
  /** How many edges were cut, a head's each counted: [window], or [window, head]. Where 0, nothing was changed. */
  readonly edges: Uint32Array;
}

export interface KnockoutResult {
  readonly groups: readonly EdgeGroupResult[];
  /** Of the run that lacks nothing. */
  readonly baseline: {
    readonly p: number;
    readonly logitDifference: number;
    readonly metric?: number;
  };
  /** Of the run that lacks nothing, [vocabulary]. */
  readonly logits: Float32Array;
  /** What rounding alone changes, as of a sweep; absent without controls. */
  readonly controls: Pick<Controls, 'noiseFloor' | 'noiseFloorP' | 'noiseFloorMetric'> | undefined;
}

/** A knock-out of a group: one window, one head or all. */
interface KnockoutCell extends Edited {
  readonly group: number;
  readonly index: number;
}

/**
 * Cuts every group of edges in every window, in one walk. A query that has no key left attends to nothing, as `knockout` says.
 *
 * @param options as of a sweep; `controls` are the rounding noise and the repeated cells
 * @returns one result per job
 * @throws NoticeError('unfired') for a group of edges that do not exist in any of its windows, ('control') if a self-check fails, as
 *   {@link cutEdges} and `sweep`
 */
export async function knockoutSweep(
  model: VisionLanguageModel,
  given: readonly KnockoutJob[],
  options: Omit<SweepOptions, 'onCells'> = {},
): Promise<KnockoutResult[]> {
  checkList(given, 'jobs', 'jobs');
  const samples = samplesOf(given.map(({ sample }) => sample));
  const jobs = given.map(({ correct, incorrect, metric = options.metric }, pair): SweepJob => {
    const sample = samples[pair] as Sample;
    const job = { clean: sample, corrupt: sample, correct, incorrect, sites: [], metric };
    checkMeasures(model, job, `job ${pair}`);
    return job;
  });
  const prepared = given.map(({ groups }, pair) => {
    checkList(groups, `job ${pair}: groups`, 'groups of edges');
    return groups.map((group, i) => cellsOf(model, samples[pair] as Sample, group, { pair, group: i }));
  });
  const cells = prepared.flat().flatMap((group) => group.cells);
  const { numbers, counts, bases } = await measure(model, jobs, cells, measureOptions(options));
  return prepared.map((groups, pair) => {
    const { baseline, logits, controls } = bases.get(pair) as BaseNumbers;
    return {
      groups: groups.map(({ layout, cells }) => {
        const edges = Uint32Array.from(cells, (cell) => counts.get(cell) as number);
        if (!edges.some((count) => count > 0)) throw noEdges(pair, layout.name);
        const rows = cells.map((cell) => numbersOf(numbers.get(cell) as Float32Array, baseline));
        const width = (jobs[pair]?.metric ? METRIC_NUMBERS : KNOCKOUT_METRICS).length;
        const { windows, heads } = layout;
        return {
          ...layout,
          shape: [windows.length, ...(heads ? [heads.length] : []), width],
          data: Float32Array.from(rows.flatMap((row) => [...row])),
          edges,
        };
      }),
      baseline: {
        p: baseline.pClean,
        logitDifference: baseline.ldClean,
        ...(baseline.metric && { metric: baseline.metric.clean }),
      },
      logits: logits.clean,
      controls: controls && noiseOf(controls),
    };
  });
}

function noiseOf({ noiseFloor, noiseFloorP, noiseFloorMetric }: Controls): KnockoutResult['controls'] {
  return { noiseFloor, noiseFloorP, noiseFloorMetric };
}

const FIELDS = ['from', 'to', 'attention', 'heads', 'name', 'windows', 'eachHead'];

/** The knock-outs of a group, in the order [window, head] of the results. */
function cellsOf(
  model: VisionLanguageModel,
  sample: Sample,
  group: EdgeGroup,
  place: { readonly pair: number; readonly group: number },
): {
  readonly layout: Pick<EdgeGroupResult, 'name' | 'attention' | 'windows' | 'layers' | 'heads'>;
  readonly cells: KnockoutCell[];
} {
  checkFields(group, 'a group of edges', FIELDS);
  const { from, to, heads: chosen, windows: wanted, eachHead = false } = group;
  checkFlag(eachHead, 'eachHead');
  const { tower, hook } = parseSite(model, `${attentionOf(model, group)}.hook_attn_scores`);
  const attention = `${tower}.${hook.replace('.hook_attn_scores', '')}`;
  const { name = attention } = group;
  checkText(name, 'the name of a group of edges');
  const blocks = chosenBlocks(model, { tower, hook }, undefined);
  const windows = windowsOf(wanted, blocks, name);
  const layers =
    typeof wanted === 'object' ? windows.map((own) => own[Math.floor(own.length / 2)] as number) : blocks;
  const count = model.configs.find((config) => config.name === tower)?.heads ?? 1;
  const heads = eachHead ? (chosen ?? Array.from({ length: count }, (_, head) => head)) : undefined;
  if (heads) checkIndices(`${attention}: head`, heads, count);
  const cells = windows.flatMap((layers) =>
    (heads ?? [undefined]).map((head): Omit<KnockoutCell, 'index'> => {
      const cuts = cutEdges(model, sample, {
        ...{ from, to, attention, layers },
        heads: head === undefined ? chosen : [head],
      });
      return {
        ...place,
        name: 'the knock-out',
        hook: `${tower}.blocks.${Math.min(...layers)}.${hook}`,
        layer: Math.min(...layers),
        positions: to ?? [],
        measured: (batch: Batch) => {
          const run = batch.derive(place.pair, tower);
          return { run, interventions: cuts.map((one) => ({ ...one, run })) };
        },
      };
    }),
  );
  return {
    layout: { name, attention, windows, layers, heads },
    cells: cells.map((cell, index) => ({ ...cell, index })),
  };
}

/** @param blocks that have the attention, in order */
function windowsOf(
  wanted: EdgeGroup['windows'],
  blocks: readonly number[],
  name: string,
): readonly (readonly number[])[] {
  if (typeof wanted === 'object') {
    checkList(wanted, `${name}: windows`);
    for (const window of wanted) {
      checkList(window, `${name}: a window`);
      if (window.length === 0) throw new NoticeError('usage', `${name}: a window without blocks`);
    }
    if (wanted.length === 0) throw new NoticeError('usage', `${name}: no windows`);
    return wanted;
  }
  const size = wanted ?? 1;
  checkWhole(size, `${name}: windows`, { from: 1 });
  return blocks.map((_, at) =>
    blocks.slice(Math.max(0, at - Math.floor(size / 2)), at + Math.ceil(size / 2)),
  );
}

function numbersOf(numbers: Float32Array, { pClean }: Baseline): Float32Array {
  if (numbers.length === METRIC_NUMBERS.length) return numbers;
  const [p = 0, pEffect = 0, ldEffect = 0] = numbers;
  return Float32Array.of(p, pEffect, ldEffect, pEffect / pClean);
}

function noEdges(pair: number, name: string): NoticeError {
  return new NoticeError(
    'unfired',
    `job ${pair}: ${name} has no edge to cut in any of its windows: its queries see none of its keys`,
  );
}
