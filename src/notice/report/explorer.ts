// Links from maps to the explorer's page, in which the pairs behind them are opened.

import { basename, isAbsolute, join, relative, sep } from 'node:path';
import type { Corruption } from '../../analysis/cell.ts';
import type { Pair } from '../datasets/index.ts';
import type { Analysis } from '../experiment/analyse.ts';
import type { Figure } from '../experiment/figure.ts';
import { type ExperimentSettings, taskName } from '../experiment/settings.ts';
import { linkHash } from '../explorer-link.ts';

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
      (analysis.pairs.get(task) ?? [])
        .slice(0, LINKED_PAIRS)
        .map((pair) => ({ name: pair.id, href: explorerLink(explorer, analysis, figure, task, pair) })),
    ),
  }));
}

/** The page's address with a pair in the state of a figure. */
export function explorerLink(
  { url, embedded }: Explorer,
  { record: { settings } }: Analysis,
  { measure, corruption = 'sip', name }: Figure,
  task: string,
  pair: Pair,
): string {
  const model = below(embedded.models, settings.model);
  const isHub = /^[^/\\]+\/[^/\\]+@[0-9a-f]{40}$/.test(settings.model);
  const manifest = settings.data.find((path) => taskName(path) === task) ?? '';
  const known =
    below(embedded.data, manifest) !== undefined && corruption !== 'noise' && corruption !== 'generated';
  const hash = linkHash({
    model: model ?? (isHub ? settings.model : undefined),
    folder: model === undefined && !isHub ? basename(settings.model) : undefined,
    dtype: settings.dtype,
    ...(known
      ? { pair: embeddedName(embedded.data, pair) }
      : { spec: JSON.stringify(pairSpec(embedded, settings, pair, corruption)) }),
    corruption: corruption === 'str' ? 'text' : 'image',
    metric: measure === 'p_patched' ? 'p' : measure,
    tab: name.startsWith('overlays-') ? 'attention' : 'maps',
  });
  return `${url.replace(/#.*$/, '')}#${hash}`;
}

/** A pair as the page has it, with the corruption of the picture. */
function pairSpec(
  { data }: Explorer['embedded'],
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

/** As the page names them: the clean picture's path without its end. */
function embeddedName(data: string, { cleanImage }: Pair): string {
  return (below(data, cleanImage) ?? cleanImage).replace('_clean.png', '');
}

/** A path relative to a folder, with slashes; undefined if it is not inside. */
function below(folder: string, path: string): string | undefined {
  const inside = relative(folder, path);
  return inside === '' || inside.startsWith('..') || isAbsolute(inside)
    ? undefined
    : inside.split(sep).join('/');
}
