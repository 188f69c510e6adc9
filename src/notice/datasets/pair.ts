// A sample of the paper: two images that differ in one thing, and a question with two options.

import type { Box } from '../../analysis/patch-grid.ts';

/** What is known of one image beside its pixels. Any further field is kept as it is. */
export interface ImageMetadata {
  /** Things in the image; those with a box can be compared with attention. */
  readonly objects?: readonly {
    readonly role?: string;
    readonly box?: Box;
    readonly [key: string]: unknown;
  }[];
  readonly relation?: string;
  /** Subject, relation or verb, object. */
  readonly triple?: readonly string[];
  readonly face?: { readonly boxes?: Readonly<Record<string, Box>>; readonly [key: string]: unknown };
  readonly [key: string]: unknown;
}

/** A metadata line, without its id. Any further field is kept as it is. */
export interface PairMetadata {
  readonly task?: string;
  /** What symmetric token replacement puts in place of the correct and the incorrect option. */
  readonly str_options?: readonly [string, string];
  readonly clean?: ImageMetadata;
  readonly corrupt?: ImageMetadata;
  readonly [key: string]: unknown;
}

/**
 * One row of a manifest. The corrupt image answers the clean prompt with `incorrect` (semantic image pair); the
 * corrupt prompt is the clean one with both options replaced (symmetric token replacement). See the paper.
 */
export interface Pair {
  /** Unique in the manifest. */
  readonly id: string;
  /** Path of the image file. */
  readonly cleanImage: string;
  readonly corruptImage: string;
  readonly cleanPrompt: string;
  readonly corruptPrompt: string;
  /** The two options as they stand in the clean prompt. */
  readonly correct: string;
  readonly incorrect: string;
  readonly category: string;
  readonly metadata?: PairMetadata;
}

/** A pair before symmetric token replacement. */
export type PairDraft = Omit<Pair, 'corruptPrompt'>;

/** The boxes of an image with their names: an object's role, or a part of the face. */
export function imageBoxes(image: ImageMetadata | undefined): { name: string; box: Box }[] {
  const objects = (image?.objects ?? []).flatMap(({ role, box }) =>
    box ? [{ name: role ?? 'object', box }] : [],
  );
  const parts = Object.entries(image?.face?.boxes ?? {}).map(([name, box]) => ({ name, box }));
  return [...objects, ...parts];
}
