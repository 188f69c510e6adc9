// Links from maps to the explorer's page, in which the pairs behind them are opened.

import { basename, isAbsolute, join, relative, sep } from 'node:path';
import type { Corruption } from '../../analysis/cell.ts';
import type { Pair } from '../datasets/index.ts';
import type { Analysis } from '../experiment/analyse.ts';
import type { Figure } from '../experiment/figure.ts';
import { type ExperimentSettings, taskName } from '../experiment/settings.ts';
import { type LinkFields, linkHash } from '../explorer-link.ts';

/** Where the page is, and what it has with it. */
export interface Explorer {
  readonly url: string;
  /** Folders whose models and data the page has. */
  readonly embedded: { readonly models: string; readonly data: string };
}

/** Pairs of each task that a map of means leads to. */
const LINKED_PAIRS = 3;

/** The figures with links to the first pairs of their tasks. */
export function withLinks(explorer: Explorer, analysis: Analysis, figures: readonly Figure[]): Figure[] {
  return figures.map((figure) => ({
    ...figure,
    links: (figure.tasks ?? []).flatMap((task) =>
      (analysis.pairs.get(task) ?? []).slice(0, LINKED_PAIRS).map((pair) => ({
        name: embeddedName(explorer, analysis, task, pair) ?? pair.id,
        href: explorerLink(explorer, analysis, figure, task, pair),
      })),
    ),
  }));
}

/** The page's address with a pair in the state of a figure. */
function explorerLink(
  explorer: Explorer,
  analysis: Analysis,
  figure: Figure,
  task: string,
  pair: Pair,
): string {
  const { settings } = analysis.record;
  const { corruptions } = settings;
  const corruption = figure.corruption ?? (corruptions.includes('sip') ? 'sip' : (corruptions[0] ?? 'sip'));
  // The page has the counterpart pictures and the replaced options of embedded pairs.
  const known =
    corruption === 'sip' || corruption === 'str' ? embeddedName(explorer, analysis, task, pair) : undefined;
  const hash = linkHash({
    ...modelFields(explorer, settings.model),
    dtype: settings.dtype,
    ...(known ? { pair: known } : { spec: JSON.stringify(pairSpec(explorer, settings, pair, corruption)) }),
    corruption: corruption === 'str' ? 'text' : 'image',
    metric: figure.measure === 'p_patched' ? 'p' : figure.measure,
    tab: figure.name.startsWith('overlays-') ? 'attention' : 'maps',
  });
  return `${explorer.url.replace(/#.*$/, '')}#${hash}`;
}

/** @param model a folder, or owner/name@commit of one on the hub */
function modelFields({ embedded }: Explorer, model: string): Pick<LinkFields, 'model' | 'folder'> {
  const isHub = /^[^/\\]+\/[^/\\]+@[0-9a-f]{40}$/.test(model);
  const known = isHub ? model : below(embedded.models, model);
  return known === undefined ? { folder: basename(model) } : { model: known };
}

/** How the page names a pair of the embedded data: by the clean picture's path without its end. */
function embeddedName(
  { embedded }: Explorer,
  { record }: Analysis,
  task: string,
  { cleanImage }: Pair,
): string | undefined {
  const manifest = record.settings.data.find((path) => taskName(path) === task);
  if (manifest === undefined || below(embedded.data, manifest) === undefined) return undefined;
  return below(embedded.data, cleanImage)?.replace('_clean.png', '');
}

/** A pair as the page has it, with the corruption of the picture. */
function pairSpec(
  { embedded: { data } }: Explorer,
  settings: ExperimentSettings,
  pair: Pair,
  corruption: Corruption,
) {
  const picture = (path: string) => {
    const known = below(data, path);
    return known === undefined ? { kind: 'file', name: basename(path) } : { kind: 'embedded', path: known };
  };
  const other =
    corruption === 'generated' && settings.generated ? join(settings.generated, pair.id) : pair.corruptImage;
  return {
    id: pair.id,
    clean: picture(pair.cleanImage),
    image:
      corruption === 'noise'
        ? { kind: 'noise', scale: settings.noiseScale, seed: settings.seed }
        : { kind: 'picture', picture: picture(other) },
    question: pair.cleanPrompt,
    correct: pair.correct,
    incorrect: pair.incorrect,
    corruptQuestion: pair.corruptPrompt || undefined,
  };
}

/** A path relative to a folder, with slashes; undefined if it is not inside. */
function below(folder: string, path: string): string | undefined {
  const inside = relative(folder, path);
  return inside === '' || inside.startsWith('..') || isAbsolute(inside)
    ? undefined
    : inside.split(sep).join('/');
}
