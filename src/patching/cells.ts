// The cells of a sweep: every patch that is measured, as data.

import { checkFields, checkFunctions, checkList } from '../check.ts';
import { NoticeError } from '../errors.ts';
import {
  type ImageInput,
  type Sample,
  type SampleInput,
  samplesOf,
  type VisionLanguageModel,
} from '../models/index.ts';
import { chosenBlocks } from './blocks.ts';
import { checkIndices } from './columns.ts';
import type { Metric } from './metric.ts';
import { hookPoint, isByHead, isOfCross, isOfMemory, parseSite, towerOf } from './names.ts';

/** A clean and a corrupt prompt that differ in what the patches are to restore. */
export interface PatchPair {
  /** Pairs that hold the same object share its run. */
  readonly clean: Sample;
  /** As many tokens as `clean`. Shares what it can with the clean run where it has the same image objects. */
  readonly corrupt: Sample;
  /**
   * What is added to the corrupt run at a hook point, [positions, width] or [width]: Gaussian noise on image embeddings
   * (Meng et al. 2022; Palit et al. 2023) as the corruption.
   */
  readonly noise?: { readonly hook: string; readonly values: Float32Array };
  /** Whether the corrupt run's text does not see the image: every edge to its features is cut, as `noImage` says. */
  readonly noImage?: boolean;
  /** First answer tokens. */
  readonly correct: number;
  readonly incorrect: number;
}

/** A pair as calls take it. */
export type PatchPairInput = Omit<PatchPair, 'clean' | 'corrupt'> & {
  readonly clean: SampleInput;
  readonly corrupt: SampleInput;
};

/** Where to patch: one site in every block. */
export interface SweepSite {
  /** Hook name without the block, for example `text_encoder.cross_attn.hook_z`. */
  readonly site: string;
  /** Patch each head by itself; default all heads together. */
  readonly heads?: boolean;
  /** Positions one by one, or groups of positions patched together; default every position. */
  readonly positions?: readonly (number | readonly number[])[];
  /** Blocks; default all. */
  readonly layers?: readonly number[];
  /**
   * The hook point whose clean value is put there, by block: another of the same width, also of a later block
   * (back-patching). Default the site itself.
   */
  readonly source?: (layer: number) => string;
}

/** One pair and where to patch it. */
export interface SweepJob extends PatchPair {
  readonly sites: readonly SweepSite[];
  /** What its runs are measured by; default that of the sweep. */
  readonly metric?: Metric | undefined;
}

/** A job as `sweep` takes it. */
export type SweepJobInput = PatchPairInput & Pick<SweepJob, 'sites' | 'metric'>;

/**
 * Jobs as they were given. Those that have no metric of their own get that of the sweep, if it has one.
 *
 * @throws NoticeError('usage') for samples that are none
 */
export function measuredJobs(
  given: readonly SweepJobInput[],
  metric: Metric | undefined,
): readonly SweepJob[] {
  checkList(given, 'jobs', 'jobs');
  const samples = samplesOf(given.flatMap(({ clean, corrupt }) => [clean, corrupt]));
  return given.map((job, pair) => ({
    ...job,
    clean: samples[2 * pair] as Sample,
    corrupt: samples[2 * pair + 1] as Sample,
    ...(metric !== undefined && job.metric === undefined && { metric }),
  }));
}

/** What is done to the corrupt run of a pair, and measured. */
export interface Change {
  readonly pair: number;
  /** Where it begins. */
  readonly hook: string;
  readonly layer: number;
  readonly positions: readonly number[];
}

/** One patch of one pair. */
export interface Cell extends Change {
  /** Index of the site among those asked for. */
  readonly site: number;
  /** Its place among the site's cells, in the order of the results. */
  readonly index: number;
  readonly tower: string;
  /** Undefined: all heads. */
  readonly head: number | undefined;
  /** The hook point that the value comes from, if it is another. */
  readonly source?: string;
}

/** A site of a pair with what its results are arranged by. */
export interface SiteLayout {
  readonly site: string;
  readonly layers: readonly number[];
  /** Heads, or undefined where they are patched together. */
  readonly heads: number | undefined;
  readonly positions: readonly (readonly number[])[];
}

/**
 * All cells of a pair, in the order [layer, head, position] of the results.
 *
 * @throws NoticeError('hook') for an unknown site, heads where there are none, a block or position that does not exist
 */
export function siteCells(
  model: VisionLanguageModel,
  pair: PatchPair,
  pairIndex: number,
  site: SweepSite,
  siteIndex: number,
): { layout: SiteLayout; cells: Cell[] } {
  checkFields(site, 'a site', ['site', 'heads', 'positions', 'layers', 'source']);
  for (const [name, list] of Object.entries({ positions: site.positions, layers: site.layers }))
    if (list !== undefined) checkList(list, `${site.site}: ${name}`);
  const { tower, hook } = parseSite(model, site.site);
  const { source } = site;
  checkFunctions({ [`${site.site}: source`]: source });
  const hookOf = (layer: number) => `${tower}.blocks.${layer}.${hook}`;
  const layers = chosenBlocks(model, { tower, hook }, site.layers);
  const heads = site.heads ? headCount(model, tower, hook, site.site) : undefined;
  const length = positionCount(model, pair, tower, hook);
  const positions = (site.positions ?? Array.from({ length }, (_, p) => p)).map((group) => [group].flat());
  for (const group of positions) checkIndices(`${site.site}: position`, group, length);
  const cells: Cell[] = [];
  for (const layer of layers) {
    for (const head of heads === undefined ? [undefined] : Array.from({ length: heads }, (_, h) => h)) {
      for (const group of positions) {
        cells.push({
          pair: pairIndex,
          site: siteIndex,
          index: cells.length,
          tower,
          hook: hookOf(layer),
          layer,
          head,
          positions: group,
          ...(source && { source: hookPoint(model, source(layer)) }),
        });
      }
    }
  }
  return { layout: { site: `${tower}.${hook}`, layers, heads, positions }, cells };
}

/**
 * Whether a site can be patched, before anything is computed.
 *
 * @throws NoticeError('hook') for one that a model does not have, or that has no heads to be patched by
 */
export function checkSite(model: VisionLanguageModel, { site, heads }: SweepSite): void {
  const { tower, hook } = parseSite(model, site);
  if (heads) headCount(model, tower, hook, site);
}

function headCount(model: VisionLanguageModel, tower: string, hook: string, site: string): number {
  const config = model.configs.find(({ name }) => name === tower);
  if (!config || !isByHead(hook))
    throw new NoticeError(
      'hook',
      `${site} has no heads; only hook points inside attention can be patched by head`,
    );
  return /hook_(rot_|normalized_)?[kv]$/.test(hook) ? config.keyHeads : config.heads;
}

/** Positions that a tower (for keys and values of cross-attention: its memory) has for a pair. */
function positionCount(model: VisionLanguageModel, pair: PatchPair, tower: string, hook: string): number {
  const { images, ids } = pair.clean;
  const queries = model.configs.find(({ name }) => name === tower)?.queries;
  if (queries !== undefined) {
    if (isOfMemory(hook)) return model.imagePositions(images);
    const words = [pair.clean, pair.corrupt].map(({ instruction = [] }) => instruction.length);
    return isOfCross(hook) ? queries : queries + Math.min(...words);
  }
  if (tower === towerOf(model.imageEmbedding)) return model.imagePositions(images);
  if (tower === model.promptTower) return isOfMemory(hook) ? model.imagePositions(images) : ids.length;
  return isOfMemory(hook) ? ids.length : 1;
}

/** The images of the pairs that cells belong to. */
export function imagesOf(jobs: readonly SweepJob[], cells: readonly Change[]): ImageInput[] {
  const pairs = [...new Set(cells.map(({ pair }) => pair))].map((pair) => jobs[pair] as SweepJob);
  return [...new Set(pairs.flatMap(({ clean, corrupt }) => [...clean.images, ...corrupt.images]))];
}
