// Generated counterparts (paper, Appendix D), as a corruption beside the real ones.

import { NoticeError } from '../../errors.ts';
import { type Pair, withGeneratedImages } from '../datasets/index.ts';
import type { ExperimentSettings } from './settings.ts';

/**
 * The generated image of every pair that has one, by its id: from the settings' folder, or the corrupt image of a
 * manifest that `notice data generated` made.
 *
 * @throws NoticeError('data') if no pair has one, ('usage') if they would be compared with themselves
 */
export async function generatedImages(
  task: string,
  pairs: readonly Pair[],
  { corruptions, generated: folder }: Pick<ExperimentSettings, 'corruptions' | 'generated'>,
): Promise<ReadonlyMap<string, string>> {
  if (!corruptions.includes('generated')) return new Map();
  const found =
    folder === undefined
      ? pairs.filter(({ metadata }) => metadata?.generated === true)
      : (await withGeneratedImages(pairs, folder)).pairs;
  if (found.length === 0)
    throw new NoticeError(
      'data',
      `${task}: none of the ${pairs.length} pairs has a generated counterpart. Name a folder of them (--generated), or ` +
        'use a manifest of `notice data generated`.',
    );
  if (folder === undefined && corruptions.includes('sip'))
    throw new NoticeError(
      'usage',
      `${task}: its corrupt images are generated ones, so sip and generated would be the same. To compare the two, run the ` +
        'manifest of real counterparts with --generated FOLDER.',
    );
  return new Map(found.map(({ id, corruptImage }) => [id, corruptImage]));
}
