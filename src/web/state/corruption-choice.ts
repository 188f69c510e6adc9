// Which corruption of the picture is chosen: the other picture of the pair is kept while noise or paint is tried.

import { computed, signal } from '@preact/signals';
import type { ImageCorruption, PairSpec, Picture } from '../protocol/session.ts';
import { choosePair, pair } from './app.ts';
import { embeddedPairs, specOf } from './first.ts';

export type CorruptionKind = ImageCorruption['kind'];

/** How the noise is drawn, also while it is not chosen. The paper's strength is 3 (Meng et al. 2022). */
export const noise = signal({ scale: 3, seed: 0 });

/** The corrupt picture of the pair that is looked at: of the data, or the last that the user gave. */
export const otherPicture = computed<Picture | undefined>(() => {
  const spec = pair.value?.spec;
  if (spec?.image.kind === 'picture') return spec.image.picture;
  const known = embeddedPairs.value.find(({ id }) => id === spec?.id);
  const image = known && specOf(known).image;
  return image?.kind === 'picture' ? image.picture : given.value;
});

/** A corrupt picture of the user's own. */
export const given = signal<Picture | undefined>(undefined);

/** Changes the corruption of the pair that is looked at, and asks the model. */
export function corruptBy(image: ImageCorruption): void {
  const spec: PairSpec | undefined = pair.value?.spec;
  if (spec) void choosePair({ ...spec, image });
}

export function corruptByKind(kind: CorruptionKind): void {
  if (kind === 'noise') corruptBy({ kind, ...noise.value });
  else if (kind === 'no-image') corruptBy({ kind });
  else if (kind === 'painted') corruptBy({ kind, boxes: [] });
  else if (otherPicture.value) corruptBy({ kind: 'picture', picture: otherPicture.value });
}
