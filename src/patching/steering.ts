// Steering vectors: what tells two sets of samples apart in the residual stream (difference of means; Rimsky et al. 2024, Marks and
// Tegmark 2023), to be added while a model answers. In files they stand under their hook points' names.

import { checkChoice, checkFields, checkList } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { Tensor, Work } from '../gpu/index.ts';
import { meanRows } from '../kernels/index.ts';
import {
  type Activation,
  type ModelRun,
  type Sample,
  type SampleInput,
  samplesOf,
  sequenceIn,
  type VisionLanguageModel,
} from '../models/index.ts';
import {
  asFloat32,
  type HostTensor,
  type ModelSource,
  readTensors,
  WeightsError,
  writeSafetensors,
} from '../weights/index.ts';
import { checkIndices } from './columns.ts';
import { lengthAt, type NameFilter, selectHooks, towerOf } from './names.ts';
import type { Watch } from './probe.ts';
import { forward, RUN_FIELDS, type RunOptions } from './run.ts';

/** By hook point, what is to be added to each position: [width], of heads [heads · d_head]. */
export type SteeringVectors = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

export interface SteeringOptions extends RunOptions {
  /** Hook points. */
  readonly names: NameFilter;
  /** Which positions of a sample count, each sample's mean of them as one: its last (default), all, or these. */
  readonly positions?: 'last' | 'all' | readonly number[] | undefined;
}

/**
 * The mean of some samples less the mean of others, at every hook point that is named. Samples are run one after the other, so
 * sets may be of any size; means are taken in f64.
 *
 * To steer, add a vector: `add({ hook }, { values: vectors.get(hook) }, alpha)` among the interventions of `generateWithHooks` (all
 * positions and every new token), `runWithHooks`, `scoreAnswer` …
 *
 * @throws NoticeError('usage') if a set is empty, ('hook') for a hook point of scores or patterns, whose width is the prompt's, or a
 *   position that does not exist, ('not-finite') where an activation is NaN or infinite; as `runWithHooks`
 */
export async function meanDifference(
  model: VisionLanguageModel,
  positive: readonly SampleInput[],
  negative: readonly SampleInput[],
  given: SteeringOptions,
): Promise<SteeringVectors> {
  checkFields(given, 'the options', ['names', 'positions', ...RUN_FIELDS]);
  const { names: filter, positions = 'last', ...options } = given;
  if (typeof positions === 'string') checkChoice(positions, 'positions', ['last', 'all']);
  else checkList(positions, 'positions');
  const names = selectHooks(model, filter);
  for (const name of names)
    if (/hook_(attn_scores|pattern)$/.test(name))
      throw new NoticeError(
        'hook',
        `${name} is as wide as the prompt is long, so it has no mean over prompts`,
      );
  if (names.size === 0) throw new NoticeError('usage', 'no hook points to take vectors at');
  const sets = [samplesOf(positive), samplesOf(negative)] as const;
  if (sets.some((samples) => samples.length === 0))
    throw new NoticeError('usage', 'a difference of means needs samples of both kinds');
  const [of, against] = [
    await meansOf(model, sets[0], names, positions, options),
    await meansOf(model, sets[1], names, positions, options),
  ];
  return new Map(
    Array.from(of, ([name, mean]) => {
      const other = against.get(name) as Float64Array;
      return [name, Float32Array.from(mean, (value, i) => value - (other[i] as number))];
    }),
  );
}

/**
 * A safetensors file of vectors, each under its hook point's name, f32 [width].
 *
 * @returns its bytes
 */
export function steeringFile(vectors: SteeringVectors): Uint8Array<ArrayBuffer> {
  const tensors = Array.from(vectors, ([name, data]): [string, HostTensor] => [
    name,
    { dtype: 'F32', shape: [data.length], data },
  ]);
  return writeSafetensors(new Map(tensors));
}

/**
 * Vectors of a safetensors file for a model: tensors under names of its hook points, of any float type.
 *
 * @param file its name in the folder
 * @throws WeightsError naming file and tensor for one that is missing, damaged, under no hook point's name or not as wide as that,
 *   or not finite
 */
export async function loadSteering(
  model: VisionLanguageModel,
  folder: ModelSource,
  file = 'steering.safetensors',
): Promise<SteeringVectors> {
  const source = await folder.open(file);
  if (!source) throw new WeightsError(`${folder.name} has no ${file}`);
  const tensors = await readTensors(source).finally(() => source.close());
  const known = new Map(model.hooks.map(({ name, shape }) => [name, shape]));
  return new Map(
    Array.from(tensors, ([name, tensor]) => {
      const at = `${source.name}: tensor "${name}"`;
      const shape = known.get(name);
      if (!shape) throw new WeightsError(`${at} is under the name of no hook point of this model`);
      const width = shape.reduce<number>((size, n) => size * (typeof n === 'number' ? n : 1), 1);
      const values = asFloat32(tensor, name);
      if (values.length !== width)
        throw new WeightsError(
          `${at} has ${values.length} values, the hook point [${shape.join(', ')}] takes ${width}`,
        );
      if (!values.every(Number.isFinite)) throw new WeightsError(`${at} has values that are not finite`);
      return [name, values];
    }),
  );
}

/** The mean over samples of each one's mean over positions. */
async function meansOf(
  model: VisionLanguageModel,
  samples: readonly Sample[],
  names: ReadonlySet<string>,
  positions: 'last' | 'all' | readonly number[],
  options: RunOptions,
): Promise<Map<string, Float64Array>> {
  const sums = new Map<string, Float64Array>();
  for (const sample of samples) {
    const rows = new MeanRows(names, positions);
    const { cache } = await forward(model, [sample], {
      ...options,
      cacheNames: new Set(),
      watch: rows,
      stopAfter: [...names].at(-1),
      onEnd: async (w) => {
        const tensors = [...rows.means];
        const read = await w.read(...tensors.map(([, tensor]) => tensor));
        tensors.forEach(([name], i) => {
          const values = read[i] as Float32Array;
          if (!values.every(Number.isFinite))
            throw new NoticeError('not-finite', `${name} of a sample is not finite, so it has no mean`);
          const sum = sums.get(name) ?? new Float64Array(values.length);
          sums.set(
            name,
            sum.map((total, c) => total + (values[c] as number) / samples.length),
          );
        });
      },
    });
    cache.release();
  }
  return sums;
}

/** Takes the mean of some positions of the one run that it sees. */
class MeanRows implements Watch {
  /** [1, width] by hook point. */
  readonly means = new Map<string, Tensor>();
  readonly names: ReadonlySet<string>;
  readonly #positions: 'last' | 'all' | readonly number[];

  constructor(names: ReadonlySet<string>, positions: 'last' | 'all' | readonly number[]) {
    this.names = names;
    this.#positions = positions;
  }

  see(w: Work, activation: Activation, [modelRun]: readonly ModelRun[]): void {
    const { name, tensor } = activation;
    const run = sequenceIn(modelRun as ModelRun, towerOf(name));
    const length = lengthAt(name, run);
    const wanted = this.#positions;
    if (typeof wanted !== 'string') checkIndices(`${name}: position`, wanted, length);
    const positions =
      wanted === 'last' ? [length - 1] : wanted === 'all' ? Array.from({ length }, (_, p) => p) : wanted;
    this.means.set(name, meanRows(w, tensor, [positions.map((p) => activation.rowOf(run, p))]));
  }
}
