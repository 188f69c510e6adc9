// Derivatives without derivatives: what a metric changes by when activations are pushed a little one way and the other.

import type { Sample, VisionLanguageModel } from '../../src/models/index.ts';
import {
  add,
  type CachedActivation,
  type Gradients,
  type Intervention,
  runWithHooks,
} from '../../src/patching/index.ts';
import type { Random } from './random.ts';

/** (f(h) − f(−h)) · 8 − (f(2h) − f(−2h)), over 12 h: the error is of the order of h⁴. */
const STENCIL = [
  [1, 8],
  [-1, -8],
  [2, -1],
  [-2, 1],
] as const;

/** A direction at a hook point, what the metric changes by along it, and what is to be expected of the numbers. */
export interface Directional {
  readonly name: string;
  /** By the gradient. */
  readonly gradient: number;
  /** By central differences. */
  readonly difference: number;
  /** What both may be apart: their rounding and truncation. */
  readonly tolerance: number;
}

/**
 * Directional derivatives of a logit difference at hook points of a run, by its gradients and by central differences, along random
 * directions. All runs of the differences are one batch.
 *
 * @param found of a batch of this one sample
 * @param others interventions that are at work besides
 */
export async function directionals(
  model: VisionLanguageModel,
  sample: Sample,
  found: Gradients,
  answers: Answers,
  random: Random,
  others: readonly Intervention[] = [],
): Promise<Directional[]> {
  const points = await Promise.all(
    found.gradients.names.map(async (name) => {
      const values = rowsOf(found.cache.get(name), await found.cache.read(name));
      const slope = rowsOf(found.gradients.get(name), await found.gradients.read(name));
      // A norm bends where rows are small, so each is pushed by a part of its own size.
      const direction = random.vector(slope.length);
      const width = slope.length / (found.cache.get(name).lengths[0] as number);
      for (let first = 0; first < slope.length; first += width) {
        const row = values.subarray(first, first + width).filter(Number.isFinite);
        const size = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / row.length);
        for (let i = first; i < first + width; i++) direction[i]! *= Math.max(size, 1e-3);
      }
      return { name, slope, direction };
    }),
  );
  const interventions: Intervention[] = points.flatMap(({ name, direction }, p) =>
    STENCIL.map(([times], i) =>
      add({ hook: name, run: p * STENCIL.length + i }, { values: direction.map((x) => x * STEP * times) }),
    ),
  );
  const batch = interventions.map(() => sample);
  const logits = await runWithHooks(model, batch, { interventions: [...others, ...interventions] });
  return points.map(({ name, slope, direction }, p) => {
    const own = logits.slice(p * STENCIL.length, (p + 1) * STENCIL.length);
    return compared(name, slope, direction, STEP, own, answers);
  });
}

/** The same along a random direction of all pixel values. */
export async function pixelDirectional(
  model: VisionLanguageModel,
  sample: Sample,
  { pixels = [] }: Gradients,
  answers: Answers,
  random: Random,
): Promise<Directional> {
  const directions = sample.images.map(({ data }) => random.vector(data.length));
  const moved = STENCIL.map(([times]) => ({
    ...sample,
    images: sample.images.map((image, i) => ({
      ...image,
      data: image.data.map((x, j) => x + times * PIXEL_STEP * directions[i]![j]!),
    })),
  }));
  const slope = Float32Array.from((pixels[0] ?? []).flatMap((own) => [...own]));
  const direction = Float32Array.from(directions.flatMap((own) => [...own]));
  const logits = await runWithHooks(model, moved, {});
  return compared('pixel_values', slope, direction, PIXEL_STEP, logits, answers);
}

interface Answers {
  readonly correct: number;
  readonly incorrect: number;
}

function compared(
  name: string,
  slope: Float32Array,
  direction: Float32Array,
  step: number,
  logits: readonly Float32Array[],
  { correct, incorrect }: Answers,
): Directional {
  const size = Math.max(...logits[0]!.map(Math.abs));
  const products = Array.from(slope, (x, i) => x * direction[i]!);
  const sum = logits.reduce((total, row, i) => total + STENCIL[i]![1] * (row[correct]! - row[incorrect]!), 0);
  return {
    name,
    gradient: products.reduce((total, x) => total + x, 0),
    difference: sum / (12 * step),
    tolerance: (NOISE * size) / step + RELATIVE * Math.sqrt(products.reduce((total, x) => total + x * x, 0)),
  };
}

/** Pixel values are of the order of 1. */
const PIXEL_STEP = 1e-3;
/** Of a row's root mean square. */
const STEP = 5e-3;
/** Of the largest logit: what f32 leaves of the difference of two logits, all steps of the model before them included. */
const NOISE = 3e-6;
/** Of the size that a sum of as many terms of any sign has: what is left of higher orders. */
const RELATIVE = 5e-3;

function rowsOf(activation: CachedActivation, arranged: Float32Array): Float32Array {
  const positions = activation.lengths[0] as number;
  const rows = Array.from({ length: positions }, (_, p) => {
    const row = activation.valuesOf(arranged, 0, p);
    const keys = activation.keys?.[0];
    return keys === undefined ? row : row.filter((_, i) => i % activation.size < keys);
  });
  const width = rows[0]?.length ?? 0;
  const all = new Float32Array(positions * width);
  for (const [p, row] of rows.entries()) all.set(row, p * width);
  return all;
}
