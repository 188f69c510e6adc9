// What the build knew of the first pair: shown at once, while the worker still loads the model.

import { signal } from '@preact/signals';
import { FIRST_MODEL, FIRST_PAIR } from '../first-pair.ts';
import type { EmbeddedPair } from '../protocol/embedded.ts';
import type { FirstMap, FirstPage } from '../protocol/first.ts';
import type { ModelInfo, PairInfo, PairSpec } from '../protocol/session.ts';

/** Maps of the first pair as `notice sweep` measured them, data as a sweep arranges it (NaN where a number is none). */
export type FirstMaps = readonly (Omit<FirstMap, 'data'> & { readonly data: Float32Array })[];

export const firstMaps = signal<FirstMaps | undefined>(undefined);
/** Pairs of the embedded data; empty until they are there. */
export const embeddedPairs = signal<readonly EmbeddedPair[]>([]);

/** Whether these are the model and the pair that {@link firstMaps} are of. */
export function isFirst(model: ModelInfo | undefined, pair: PairInfo | undefined): boolean {
  const choice = model?.choice;
  return (
    choice?.kind === 'embedded' &&
    choice.name === FIRST_MODEL &&
    model?.dtype === 'as in the file' &&
    JSON.stringify(pair?.spec) === JSON.stringify(FIRST_PAIR)
  );
}

/** @throws Error naming the file and the status */
export async function fetchFirst(): Promise<{ model: FirstPage['model']; pair: PairInfo }> {
  const { model, pair, maps }: FirstPage = await (await pageFile('first.json')).json();
  firstMaps.value = maps.map((map) => ({
    ...map,
    data: Float32Array.from(map.data, (value) => value ?? Number.NaN),
  }));
  const { clean, image } = pair.spec;
  const [cleanFile, corruptFile] = await Promise.all(
    [clean, image.kind === 'picture' ? image.picture : undefined].map(async (picture) =>
      picture?.kind === 'embedded' ? (await pageFile(`data/${picture.path}`)).blob() : undefined,
    ),
  );
  return { model, pair: { ...pair, pictures: { clean: cleanFile as Blob, corrupt: corruptFile } } };
}

/** @throws Error naming the file and the status */
export async function fetchPairs(): Promise<void> {
  embeddedPairs.value = await (await pageFile('data/pairs.json')).json();
}

/** What the page asks for an embedded pair. */
export function specOf({
  id,
  clean,
  corrupt,
  question,
  corruptQuestion,
  ...options
}: EmbeddedPair): PairSpec {
  const { correct, incorrect } = options;
  return {
    id,
    clean: { kind: 'embedded', path: clean },
    image: { kind: 'picture', picture: { kind: 'embedded', path: corrupt } },
    question,
    correct,
    incorrect,
    ...(corruptQuestion !== question && { corruptQuestion }),
  };
}

async function pageFile(path: string): Promise<Response> {
  const response = await fetch(new URL(path, document.baseURI));
  if (!response.ok) throw new Error(`${path}: the page's server says ${response.status}`);
  return response;
}
