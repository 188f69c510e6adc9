// Semantic image pairs from labelled images (paper): the corrupt image is another one of the same group that
// has the incorrect label.

import { type Random, seeded } from '../../random.ts';
import type { Pair, PairDraft } from './pair.ts';
import type { BuildReport, Drop } from './report.ts';
import { corruptPrompts, type Encode, type ReplacementOptions } from './str.ts';

/** What every builder needs. */
export interface BuildOptions {
  /** With an image's id it fixes every draw, whatever the other images are. */
  readonly seed: number | string;
  /** Stand-ins for the options have as many tokens as they. */
  readonly encode: Encode;
  /** Without it every corrupt prompt is the clean one: such a pair has an image corruption alone. Default true. */
  readonly str?: boolean;
}

export interface BuildResult {
  readonly pairs: Pair[];
  readonly report: BuildReport;
}

/** An image, what it shows, and among which others its counterpart is. */
export interface LabelledImage {
  readonly id: string;
  readonly file: string;
  /** Counterparts come from the same group: the same noun, the same other attributes. */
  readonly group: string;
  readonly label: string;
  readonly category: string;
}

export interface PairingOptions extends BuildOptions {
  /** Begins the ids of the pairs: "mit-states". */
  readonly name: string;
  /** Whether `other` may be the incorrect option where `label` is the correct one. */
  readonly allowed: (label: string, other: string) => boolean;
  /** The question, with its options in the order they are to stand in. */
  readonly prompt: (image: LabelledImage, first: string, second: string) => string;
  readonly pool: ReplacementOptions['pool'];
  readonly similar?: ReplacementOptions['similar'];
}

/**
 * One pair for each image that has a counterpart: the incorrect label is drawn evenly from the allowed labels of its
 * group, the corrupt image evenly from the images with that label, the order of the options by a fair coin.
 * Drops: "no-counterpart", and those of `corruptPrompts`.
 */
export function pairImages(images: readonly LabelledImage[], options: PairingOptions): BuildResult {
  const groups = indexByGroup(images);
  const drafts: PairDraft[] = [];
  const drops: Drop[] = [];
  for (const image of images) {
    const random = seeded(`${options.seed}/${image.id}`);
    const counterpart = drawCounterpart(image, groups, options.allowed, random);
    if (!counterpart) {
      const detail = `nothing else in the group "${image.group}" can be the counterpart of "${image.label}"`;
      drops.push({ source: image.file, reason: 'no-counterpart', detail });
      continue;
    }
    const [correct, incorrect] = [image.label, counterpart.label];
    const [first, second] = random.next() < 0.5 ? [correct, incorrect] : [incorrect, correct];
    drafts.push({
      id: `${options.name}-${image.id}`,
      cleanImage: image.file,
      corruptImage: counterpart.file,
      cleanPrompt: options.prompt(image, first, second),
      correct,
      incorrect,
      category: image.category,
    });
  }
  const { pairs, report } = options.str === false ? withoutText(drafts) : corruptPrompts(drafts, options);
  return {
    pairs,
    report: { read: images.length, kept: pairs.length, drops: [...drops, ...report.drops] },
  };
}

function withoutText(drafts: readonly PairDraft[]): BuildResult {
  const pairs = drafts.map((draft): Pair => ({ ...draft, corruptPrompt: draft.cleanPrompt }));
  return { pairs, report: { read: drafts.length, kept: pairs.length, drops: [] } };
}

type Groups = Map<string, Map<string, LabelledImage[]>>;

function indexByGroup(images: readonly LabelledImage[]): Groups {
  const groups: Groups = new Map();
  for (const image of images) {
    const labels = groups.get(image.group) ?? new Map<string, LabelledImage[]>();
    groups.set(image.group, labels);
    const same = labels.get(image.label) ?? [];
    labels.set(image.label, same);
    same.push(image);
  }
  return groups;
}

function drawCounterpart(
  image: LabelledImage,
  groups: Groups,
  allowed: PairingOptions['allowed'],
  random: Random,
): LabelledImage | undefined {
  const labels = groups.get(image.group) ?? new Map<string, LabelledImage[]>();
  const others = [...labels.keys()]
    .filter((label) => label !== image.label && allowed(image.label, label))
    .sort();
  if (others.length === 0) return undefined;
  const label = others[random.integer(others.length)] as string;
  const candidates = labels.get(label) as LabelledImage[];
  return candidates[random.integer(candidates.length)];
}
