// Our universal heads beside the published ones.

import type { Head } from '../../analysis/universal-heads.ts';
import {
  HEAD_CLASSES,
  type HeadClass,
  headLabel,
  type UniversalHeads,
} from '../../analysis/universal-heads.ts';
import type { Analysis } from '../experiment/analyse.ts';
import type { PublishedHead, PublishedResults } from './published.ts';

/** A head that is universal in the paper or here. */
export interface ComparedHead {
  /** "L3.H0" */
  readonly head: string;
  readonly published: PublishedHead | undefined;
  /** Here; undefined if not both modalities were run on the same tasks. */
  readonly class: HeadClass | 'not universal' | undefined;
  /** Tasks in which it passes here, by modality. */
  readonly image: readonly string[];
  readonly text: readonly string[];
}

/**
 * The published heads in the paper's order, then the others that are universal here.
 * @returns nothing if no semantic corruption was run
 */
export function compareHeads(
  published: PublishedResults,
  { universal, lastUniversal }: Pick<Analysis, 'universal' | 'lastUniversal'>,
): ComparedHead[] {
  const ours = published.position === 'last' ? lastUniversal : universal;
  if (!ours) return [];
  const known = new Map(published.heads.map((head) => [head.head, head]));
  const found = [...(ours.universal.image ?? []), ...(ours.universal.text ?? [])].map(headLabel);
  return [...new Set([...known.keys(), ...found])].map((head) => ({
    head,
    published: known.get(head),
    class: ours.classes && classOf(ours.classes, head),
    image: tasksOf(ours, 'image', head),
    text: tasksOf(ours, 'text', head),
  }));
}

function classOf(classes: NonNullable<UniversalHeads['classes']>, head: string): HeadClass | 'not universal' {
  return HEAD_CLASSES.find((name) => includes(classes[name], head)) ?? 'not universal';
}

function tasksOf({ selections }: UniversalHeads, modality: 'image' | 'text', head: string): string[] {
  return selections
    .filter((selection) => selection.modality === modality && includes(selection.passing, head))
    .map(({ task }) => task);
}

function includes(heads: readonly Head[], label: string): boolean {
  return heads.some((head) => headLabel(head) === label);
}
