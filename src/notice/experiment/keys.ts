// Content keys: what was computed stands under a key of all that decides it, so that a folder can be continued after
// its data, images or model changed and never mixes two of them.

import type { AdapterIdentity } from '../../gpu/index.ts';
import type { ImageBackend } from '../../inputs/index.ts';
import type { Processor, VisionLanguageModel } from '../../models/index.ts';
import type { Pair } from '../datasets/pair.ts';
import type { ImageReader } from './images.ts';

/** Raised whenever the same inputs give other results; what older code computed is then computed anew. */
export const RESULTS_VERSION = 1;

/** SHA-256 of bytes, in hex digits. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Sixteen hex digits for anything that JSON can say; objects must be built with their fields in a fixed order. */
export async function contentKey(content: unknown): Promise<string> {
  return (await sha256(new TextEncoder().encode(JSON.stringify(content)))).slice(0, 16);
}

/** What of a manifest's row decides its measurements. */
export function rowContent(pair: Pair): readonly string[] {
  const { id, category, cleanPrompt, corruptPrompt, correct, incorrect } = pair;
  return [id, category, cleanPrompt, corruptPrompt, correct, incorrect];
}

/** Key of a manifest's row. */
export const rowKey = (pair: Pair): Promise<string> => contentKey(rowContent(pair));

/** Key of all of a pair that decides its answers. Images that cannot be read are none. */
export async function questionKey(reader: ImageReader, pair: Pair): Promise<string> {
  const { id, category, correct, incorrect, cleanPrompt } = pair;
  const digests = [pair.cleanImage, pair.corruptImage].map((path) =>
    reader.read(path).then(sha256, () => undefined),
  );
  return contentKey([id, category, correct, incorrect, cleanPrompt, ...(await Promise.all(digests))]);
}

/** What decides results beside settings and data. */
export interface RunInputs {
  /** {@link RESULTS_VERSION} of the code. */
  readonly results: number;
  /** Digest of the files that the model was read from. */
  readonly model: string;
  /** Adapters of one class round alike. */
  readonly adapter: string;
  readonly template: string;
  /** Whose resizing of pictures; absent in what was begun when all were Pillow 12's. */
  readonly imageBackend?: ImageBackend;
}

/** @param modelDigest of the files that the model and its processor were read from */
export function runInputs(
  model: Pick<VisionLanguageModel, 'gpu'>,
  processor: Pick<Processor, 'template' | 'images'>,
  modelDigest: string,
): RunInputs {
  return {
    results: RESULTS_VERSION,
    model: modelDigest,
    adapter: adapterClass(model.gpu.capabilities),
    template: processor.template,
    imageBackend: processor.images.settings.backend,
  };
}

/** Which pictures there were before there was a choice. */
const FIRST_BACKEND: ImageBackend = 'pil-12';

/** The inputs as they stand in keys: as they did when there was no choice of pictures, so that older results still count. */
export function keyedInputs(inputs: RunInputs | undefined): RunInputs | undefined {
  if (inputs?.imageBackend !== FIRST_BACKEND) return inputs;
  const { imageBackend: _, ...rest } = inputs;
  return rest;
}

const INPUT_NAMES: Readonly<Record<keyof RunInputs, string>> = {
  results: 'the way in which results are computed',
  model: "the model's files",
  adapter: 'the adapter',
  template: 'the prompt template',
  imageBackend: 'the image backend',
};

/** Which inputs differ, in words. */
export function changedInputs(before: RunInputs, now: RunInputs): string[] {
  const names = Object.keys(INPUT_NAMES) as (keyof RunInputs)[];
  const [old, current] = [keyedInputs(before), keyedInputs(now)];
  return names.filter((name) => old?.[name] !== current?.[name]).map((name) => INPUT_NAMES[name]);
}

/** Vendor and architecture: drivers' versions are left out. */
export function adapterClass({ vendor, architecture, description }: AdapterIdentity): string {
  return [vendor, architecture].filter(Boolean).join(' ') || description;
}
