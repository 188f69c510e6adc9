// What is pinned, as interventions of the library. Whatever runs a patched model asks here, so that a pin does the same in a
// patch, in a generated answer, in attention maps and on other pairs.

import { type PatchGrid, patchGrids, type Sample, type VisionLanguageModel } from '../../models/index.ts';
import {
  add,
  corruptionOf,
  cutEdges,
  type Intervention,
  interpolate,
  mean,
  type PatchPair,
  replace,
  runWithCache,
  scale,
  type Target,
  zero,
} from '../../patching/index.ts';
import type { EditPin, PatchesPin, Pin, PinOperation } from '../protocol/pins.ts';
import type { CorruptionName } from '../protocol/session.ts';
import { runsOf } from './pair.ts';
import type { Session } from './session.ts';

/** Rows of the batch [clean, corrupt]. */
const CLEAN = { run: 0 };
const CORRUPT = 1;

/**
 * Interventions on row 1 of the batch [clean, corrupt], which read row 0. Pins that are switched off are left out. What makes the
 * run corrupt beside its sample (noise) is not among them.
 *
 * @throws NoticeError as `runWithCache`, for the mean of a picture's features
 */
export async function pinnedInterventions(
  model: VisionLanguageModel,
  pair: Pick<PatchPair, 'clean' | 'corrupt'>,
  pins: readonly Pin[],
  signal?: AbortSignal,
): Promise<Intervention[]> {
  const made: Intervention[] = [];
  for (const pin of pins) {
    if (!pin.on) continue;
    if (pin.kind === 'edit') made.push(...editsOf(pin));
    else if (pin.kind === 'patches') made.push(await patchesEdit(model, pair, pin, signal));
    else {
      const { from, to, attention, layers, heads } = pin;
      made.push(...cutEdges(model, pair.corrupt, { from, to, attention, layers, heads, run: CORRUPT }));
    }
  }
  return made;
}

/**
 * All that makes row 1 of the batch [clean, corrupt] the patched run: what its corruption does, then what is pinned. So
 * `runWithCache(model, [clean, corrupt], { interventions })` and the like show the patched run beside the clean one.
 */
export async function interventionsOf(
  { model, pair }: Session,
  corruption: CorruptionName,
  pins: readonly Pin[],
  signal?: AbortSignal,
): Promise<Intervention[]> {
  const runs = runsOf(pair, corruption);
  return [...corruptionOf(model, runs, CORRUPT), ...(await pinnedInterventions(model, runs, pins, signal))];
}

function editsOf({ hooks, positions, heads, operation }: EditPin): Intervention[] {
  return hooks.map((hook) => changed({ hook, run: CORRUPT, positions, heads }, operation));
}

function changed(target: Target, operation: PinOperation): Intervention {
  switch (operation.kind) {
    case 'replace':
      return replace(target, CLEAN);
    case 'zero':
      return zero(target);
    case 'mean':
      return mean(target);
    case 'scale':
      return scale(target, operation.factor);
    case 'interpolate':
      return interpolate(target, CLEAN, operation.share);
    case 'add':
      return add(target, CLEAN, operation.factor);
  }
}

/** Where the features of an image stand that the prompt reads: behind the vision tower, or among the prompt's tokens. */
function featuresHook(model: VisionLanguageModel): string {
  return model.imageAttention.endsWith('.cross_attn') ? 'vision.hook_out' : model.promptEmbedding;
}

async function patchesEdit(
  model: VisionLanguageModel,
  { corrupt }: Pick<PatchPair, 'corrupt'>,
  { patches, operation }: PatchesPin,
  signal: AbortSignal | undefined,
): Promise<Intervention> {
  const hook = featuresHook(model);
  const keys = keysOf(patchGrids(model, corrupt));
  const target = { hook, run: CORRUPT, positions: patches.map((patch) => keys[patch] as number) };
  if (operation === 'restore') return replace(target, CLEAN);
  if (operation === 'zero') return zero(target);
  return replace(target, { values: await meanFeature(model, corrupt, hook, keys, signal) });
}

/** Means of pictures' features, of which every patch of the same picture asks anew. */
const means = new WeakMap<Sample, Float32Array>();

/** The mean of a picture's features [width], over its patches alone. */
async function meanFeature(
  model: VisionLanguageModel,
  sample: Sample,
  hook: string,
  keys: readonly number[],
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const known = means.get(sample);
  if (known) return known;
  const { cache } = await runWithCache(model, [sample], { names: hook, stopAfter: hook, signal });
  try {
    const activation = cache.get(hook);
    const rows = await activation.read();
    const width = activation.heads * activation.size;
    const values = new Float32Array(width);
    for (let column = 0; column < width; column++) {
      let sum = 0;
      for (const key of keys) sum += rows[key * width + column] as number;
      values[column] = sum / keys.length;
    }
    means.set(sample, values);
    return values;
  } finally {
    cache.release();
  }
}

/** Keys of all patches, grid after grid. */
function keysOf(grids: readonly PatchGrid[]): number[] {
  return grids.flatMap(({ keys }) => keys);
}
