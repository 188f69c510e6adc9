// Which blocks of a tower are meant: not every one need attend to another tower.

import { NoticeError } from '../errors.ts';
import type { VisionLanguageModel } from '../models/index.ts';
import { checkIndices } from './columns.ts';
import { blockCount, type Site } from './names.ts';

/** Blocks of a tower that have a hook point. */
function blocksWith(model: VisionLanguageModel, tower: string, hook: string): number[] {
  const known = new Set(model.hooks.map(({ name }) => name));
  return Array.from({ length: blockCount(model, tower) }, (_, layer) => layer).filter((layer) =>
    known.has(`${tower}.blocks.${layer}.${hook}`),
  );
}

/**
 * Some of the blocks that have a hook point.
 *
 * @param layers which; default all
 * @throws NoticeError('hook') for one that does not exist or has no such hook point, or one twice
 */
export function chosenBlocks(
  model: VisionLanguageModel,
  { tower, hook }: Site,
  layers: readonly number[] | undefined,
): readonly number[] {
  const blocks = blocksWith(model, tower, hook);
  if (!layers) return blocks;
  const site = `${tower}.${hook}`;
  if (layers.length > 0) checkIndices(`${site}: block`, layers, blockCount(model, tower));
  const without = layers.find((layer) => !blocks.includes(layer));
  if (without !== undefined)
    throw new NoticeError(
      'hook',
      `${site}: block ${without} has no such hook point, only ${blocks.join(', ')} have`,
    );
  return layers;
}
