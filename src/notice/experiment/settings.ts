// What an experiment is: model × data sets × corruptions × sites.

import type { Corruption, Modality } from '../../analysis/cell.ts';
import type { HeadPosition } from '../../analysis/effects.ts';
import type { HeadStatistic } from '../../analysis/universal-heads.ts';
import { NoticeError } from '../../errors.ts';
import type { VisionLanguageModel, WeightDtype } from '../../models/index.ts';
import { checkSite } from '../../patching/index.ts';
import type { CompatSwitch } from '../compat.ts';
import { paperConventions } from '../conventions.ts';

/**
 * What patching a module is measured by in tables and figures: the restoration probability P′ − P* (Figure 3), or the
 * logit difference LD′ − LD*. Heads are always ranked by the logit difference (section 4.2).
 */
export type ModuleMeasure = 'probability' | 'logit-difference';

export interface ExperimentSettings {
  /** Model folder as the user named it. */
  readonly model: string;
  /** Storage of the weights; default as in the file. */
  readonly dtype?: WeightDtype;
  /** Products were made on a GPU's matrix units, which round otherwise. */
  readonly subgroupMatrices?: boolean;
  /** Manifests (CSV); the file's stem is the task's name. */
  readonly data: readonly string[];
  /** Samples of each task. */
  readonly samples: number;
  /** `balanced`: as many that name the correct option first as second, drawn by the seed. `first`: in the file's order. */
  readonly select: 'balanced' | 'first';
  readonly corruptions: readonly Corruption[];
  /** Folder of generated counterpart images, named by a pair's id or by the image they stand for. */
  readonly generated?: string;
  /** Hook names without the block that are patched at every token as a whole. */
  readonly moduleSites: readonly string[];
  /** Hook name without the block whose heads are patched one by one at the answer's tokens. */
  readonly headSite: string;
  readonly statistic: HeadStatistic;
  /** Default `probability`. */
  readonly measure?: ModuleMeasure;
  readonly compat: readonly CompatSwitch[];
  readonly seed: number;
  /** Draws of noise per sample. */
  readonly noiseDraws: number;
  /** Noise in standard deviations of the image embeddings (3 in causal tracing). */
  readonly noiseScale: number;
  /** Prompt template by name or text; default the model's. */
  readonly template: string | undefined;
  /** How many questions are asked: as many as the selection needs (default), or all (Table 2). */
  readonly evaluate?: 'needed' | 'all';
  /** Where attention is looked at; default the model's. */
  readonly look?: HeadPosition;
}

/** Which input a corruption changes. */
export const CORRUPTION_MODALITY: Readonly<Record<Corruption, Modality>> = {
  sip: 'image',
  generated: 'image',
  noise: 'image',
  str: 'text',
};

/** The paper's sites (section 4): self-attention, cross-attention, MLP; heads of the attention that sees the image. */
export function defaultSites(
  model: VisionLanguageModel,
): Pick<ExperimentSettings, 'moduleSites' | 'headSite'> {
  const { moduleSites, headSite } = paperConventions(model);
  return { moduleSites, headSite };
}

/**
 * How settings differ in what decides results, in words; a results folder of others is not continued. Folders that data and
 * model lie in do not count.
 */
export function differentSettings(a: ExperimentSettings, b: ExperimentSettings): string[] {
  const [one, other] = [deciding(a), deciding(b)];
  return [...new Set([...Object.keys(one), ...Object.keys(other)])]
    .filter((key) => JSON.stringify(one[key]) !== JSON.stringify(other[key]))
    .map((key) => `${key}: ${JSON.stringify(one[key])}, now ${JSON.stringify(other[key])}`);
}

/** Those of a folder that another version wrote may lack some. */
function deciding({
  statistic: _,
  measure: __,
  evaluate: ___,
  ...settings
}: Partial<ExperimentSettings>): Record<string, unknown> {
  return {
    ...settings,
    model: settings.model && modelTitle(settings.model),
    data: settings.data?.map(taskName),
    generated: settings.generated !== undefined,
  };
}

/** A model's name for titles: without owner and folders, with a short commit. */
export function modelTitle(model: string): string {
  return model.replace(/^.*[/\\](?=.)/, '').replace(/(?<=@[0-9a-f]{7})[0-9a-f]{33}$/, '');
}

/** The task's name of a manifest. */
export function taskName(path: string): string {
  return path.replace(/^.*[/\\]/, '').replace(/\.csv$/i, '');
}

/** @throws NoticeError('hook') for a site that the model does not have, or a head site without heads */
export function checkSites(
  model: VisionLanguageModel,
  { moduleSites, headSite }: Pick<ExperimentSettings, 'moduleSites' | 'headSite'>,
): void {
  for (const site of moduleSites) checkSite(model, { site });
  checkSite(model, { site: headSite, heads: true });
}

/** @throws NoticeError('usage') if two manifests have the same name */
export function checkTasks(data: readonly string[]): void {
  const names = data.map(taskName);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice)
    throw new NoticeError('usage', `two data files are named "${twice}"; tasks need different names`);
}
