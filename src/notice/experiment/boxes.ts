// Which box of a sample's metadata the question is about.

import type { Box } from '../../analysis/patch-grid.ts';
import { imageBoxes, type Pair } from '../datasets/index.ts';

/** Roles in the order in which they are preferred, for a question's category. */
function preferred(category: string): readonly string[] {
  if (category === 'object') return ['object'];
  return ['subject', 'noun', 'mouth', 'object', 'face'];
}

/** The box of the thing asked about in the clean image; undefined if the data set has none. */
export function questionBox({ metadata, category }: Pair): { name: string; box: Box } | undefined {
  const boxes = imageBoxes(metadata?.clean);
  for (const role of preferred(category)) {
    const found = boxes.find(({ name }) => name === role);
    if (found) return found;
  }
  return boxes[0];
}
