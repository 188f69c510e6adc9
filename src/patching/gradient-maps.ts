// Maps over the image of what a metric of the answer rests on, from one pass forward and one back.

import {
  acrossModalities,
  averagedAttention,
  product,
  type Relevance,
  throughNormalized,
  throughSelf,
} from '../analysis/relevance.ts';
import { checkChoice, checkFields } from '../check.ts';
import { NoticeError } from '../errors.ts';
import {
  patchGrids,
  type Sample,
  type SampleInput,
  samplesOf,
  type VisionLanguageModel,
} from '../models/index.ts';
import { type MapGrid, onGrids, toPatches } from './attention-map.ts';
import { chosenBlocks } from './blocks.ts';
import { checkIndices } from './columns.ts';
import { type GradientOptions, type Gradients, runWithGradients } from './gradients.ts';
import type { Metric } from './metric.ts';
import { parseSite } from './names.ts';

export interface GradientMapOptions extends Pick<GradientOptions, 'interventions' | 'signal'> {
  /** What is explained, of the logits at the answer's first position. */
  readonly metric: Metric;
}

/** A value for each patch of a sample's images. */
export interface GradientMap {
  /** The metric. */
  readonly value: number;
  readonly grids: readonly MapGrid[];
}

export interface GradCamOptions extends GradientMapOptions {
  /** Its hook points without block and `hook_…`; default the attention that reads the image. */
  readonly attention?: string | undefined;
  /** Block. */
  readonly layer: number;
  /** Positions that attend, of which the mean is taken; default all. */
  readonly from?: number | readonly number[] | undefined;
}

export interface SaliencyOptions extends GradientMapOptions {
  /** The image's embeddings, one value for each patch (default), or its pixels. */
  readonly of?: 'patches' | 'pixels' | undefined;
}

/** A value for each pixel of an image. */
export interface PixelMap {
  readonly height: number;
  readonly width: number;
  /** [height, width], of an image in tiles [tile, height, width]. */
  readonly data: Float32Array;
}

const SHARED = ['metric', 'interventions', 'signal'];

/**
 * Grad-CAM on an attention, as users of ALBEF and BLIP know it: at each patch the mean over heads (and over `from`) of relu(∂metric/∂pattern ·
 * pattern), of one block.
 *
 * @throws NoticeError('hook') for an attention of which no key is a patch, or a block or position that does not exist; as
 *   `runWithGradients`
 */
export async function gradCam(
  model: VisionLanguageModel,
  sample: SampleInput,
  given: GradCamOptions,
): Promise<GradientMap> {
  checkFields(given, 'the options', [...SHARED, 'attention', 'layer', 'from']);
  const { attention = model.imageAttention, layer, from, ...options } = given;
  const grids = patchGrids(model, sample, attention);
  const site = parseSite(model, `${attention}.hook_pattern`);
  chosenBlocks(model, site, [layer]);
  const name = `${site.tower}.blocks.${layer}.${site.hook}`;
  return withGradients(model, sample, { ...options, names: name }, async ({ cache, gradients, values }) => {
    const pattern = cache.get(name);
    const [a, g] = [await pattern.read(), await gradients.read(name)];
    const positive = a.map((value, i) => Math.max(0, value * (g[i] as number)));
    const length = pattern.lengths[0] as number;
    const queries = from === undefined ? Array.from({ length }, (_, p) => p) : [from].flat();
    checkIndices(`${name}: position`, queries, length);
    const patches = grids.flatMap(({ keys }) => keys);
    const rows = toPatches(pattern, positive, 0, queries, patches, 'all rows');
    const mean = new Float32Array(patches.length);
    rows.data.forEach((value, i) => {
      mean[i % patches.length] = (mean[i % patches.length] as number) + value / rows.heads;
    });
    return { value: values[0] as number, grids: onGrids(grids, mean) };
  });
}

/**
 * Input × gradient (Shrikumar et al. 2016): of each patch Σ x · ∂metric/∂x over the features of its embedding, of each pixel over its
 * colours. It is signed.
 *
 * @returns of patches a map; of pixels a map for each image
 * @throws NoticeError('image') for the pixels of an image that is packed into patches; as `runWithGradients`
 */
export async function saliency(
  model: VisionLanguageModel,
  sample: SampleInput,
  given: SaliencyOptions & { readonly of: 'pixels' },
): Promise<{ readonly value: number; readonly images: readonly PixelMap[] }>;
export async function saliency(
  model: VisionLanguageModel,
  sample: SampleInput,
  given: SaliencyOptions & { readonly of?: 'patches' | undefined },
): Promise<GradientMap>;
export async function saliency(
  model: VisionLanguageModel,
  sample: SampleInput,
  given: SaliencyOptions,
): Promise<GradientMap | { readonly value: number; readonly images: readonly PixelMap[] }> {
  checkFields(given, 'the options', [...SHARED, 'of']);
  const { of = 'patches', ...options } = given;
  checkChoice(of, 'of', ['patches', 'pixels']);
  const [own] = samplesOf([sample]) as [Sample];
  if (of === 'pixels') {
    if (own.images.some(({ patches }) => patches))
      throw new NoticeError(
        'image',
        'this image is packed into patches, of two frames each: take of: "patches"',
      );
    return withGradients(model, own, { ...options, names: () => false, pixels: true }, async (found) => ({
      value: found.values[0] as number,
      images: own.images.map(({ data, height, width }, i): PixelMap => {
        const gradient = found.pixels?.[0]?.[i] as Float32Array;
        const area = height * width;
        const sums = new Float32Array(data.length / 3);
        data.forEach((x, at) => {
          const [tile, pixel] = [Math.floor(at / (3 * area)), at % area];
          sums[tile * area + pixel] = (sums[tile * area + pixel] as number) + x * (gradient[at] as number);
        });
        return { height, width, data: sums };
      }),
    }));
  }
  const name = model.imageEmbedding;
  const tower = name.split('.')[0] as string;
  return withGradients(model, own, { ...options, names: name }, async ({ cache, gradients, values }) => {
    const embedding = cache.get(name);
    const [x, g] = [await embedding.read(), await gradients.read(name)];
    const { size } = embedding;
    const grids = patchGrids(model, own, `${tower}.attn`);
    const sums = grids
      .flatMap(({ keys }) => keys)
      .map((key) => {
        let sum = 0;
        for (let i = key * size; i < (key + 1) * size; i++) sum += (x[i] as number) * (g[i] as number);
        return sum;
      });
    return { value: values[0] as number, grids: onGrids(grids, Float32Array.from(sums)) };
  });
}

/**
 * Relevance of each patch to the answer through all attention (Chefer et al. 2021). Where the image's features stand in the prompt, it is that of
 * the answer's position to them in the language model (eq. 5 and 6). In BLIP the question attends to the image (eq. 5 to 10), and the answer's
 * position to the question by the same rule, so the map is R^{answer, question} · R^{question, image}.
 *
 * @throws NoticeError('usage') for other models; as `runWithGradients`
 */
export async function relevance(
  model: VisionLanguageModel,
  sample: SampleInput,
  given: GradientMapOptions,
): Promise<GradientMap> {
  checkFields(given, 'the options', SHARED);
  const { promptTower, imageAttention, answers, towers } = model;
  const crosses = imageAttention === `${promptTower}.cross_attn` && answers === 'decoder';
  if (!crosses && imageAttention !== `${promptTower}.attn`)
    throw new NoticeError(
      'usage',
      `relevance is not defined through ${imageAttention}, which reads the image here`,
    );
  const grids = patchGrids(model, sample);
  const patches = grids.flatMap(({ keys }) => keys);
  const [vision] = towers as [string];
  const through = crosses ? [vision, promptTower, towers.at(-1) as string] : [promptTower];
  const names = through.map((tower) => `${tower}.blocks.*.hook_pattern`);
  return withGradients(model, sample, { ...given, names }, async (found) => {
    const last = crosses ? await throughQuestion(found, through) : await throughPrompt(found, promptTower);
    const onPatches = Float32Array.from(patches, (key) => last[key] as number);
    return { value: found.values[0] as number, grids: onGrids(grids, onPatches) };
  });
}

/** Relevance of every position of a causal tower to its last. */
async function throughPrompt(found: Gradients, tower: string): Promise<Float64Array> {
  const layers = await layersOf(found, `${tower}.`, 'attn');
  const row = new Float64Array(layers[0]?.rows ?? 0);
  row[row.length - 1] = 1;
  return throughSelf(row, layers);
}

/** Relevance of every position of the vision tower to the answer's, by way of the question. */
async function throughQuestion(
  found: Gradients,
  [vision, question, answer]: readonly string[],
): Promise<Float64Array> {
  const [seen, asked, crossed, answered, read] = [
    await layersOf(found, `${vision}.`, 'attn'),
    await layersOf(found, `${question}.`, 'attn'),
    await layersOf(found, `${question}.`, 'cross_attn'),
    await layersOf(found, `${answer}.`, 'attn'),
    await layersOf(found, `${answer}.`, 'cross_attn'),
  ] as [Relevance[], Relevance[], Relevance[], Relevance[], Relevance[]];
  const tokens = asked[0]?.rows ?? 0;
  const both = (selves: readonly Relevance[], crosses: readonly Relevance[]) =>
    selves.map((self, l) => ({ self, cross: crosses[l] }));
  const toQuestion = acrossModalities(both(answered, read), { s: answered[0]?.rows ?? 0, q: tokens });
  const row = throughNormalized(toQuestion.data.slice(-tokens), asked);
  const toImage = acrossModalities(both(asked, crossed), { s: tokens, q: seen[0]?.rows ?? 0 });
  return throughNormalized(product({ rows: 1, columns: tokens, data: row }, toImage).data, seen);
}

/** Ā of each block's attention of this kind, in order. */
async function layersOf(
  { cache, gradients }: Gradients,
  tower: string,
  attention: string,
): Promise<Relevance[]> {
  const layers: Relevance[] = [];
  for (const [name, pattern] of cache) {
    if (!name.startsWith(tower) || !name.endsWith(`.${attention}.hook_pattern`)) continue;
    const [, heads, queries, keys] = pattern.shape as [number, number, number, number];
    layers.push(
      averagedAttention(await pattern.read(), await gradients.read(name), { heads, queries, keys }),
    );
  }
  return layers;
}

/** Runs one sample, and frees what it keeps when it has been read. */
async function withGradients<T>(
  model: VisionLanguageModel,
  sample: SampleInput,
  options: GradientOptions,
  read: (found: Gradients) => Promise<T>,
): Promise<T> {
  const found = await runWithGradients(model, [sample], options);
  try {
    return await read(found);
  } finally {
    found.release();
  }
}
