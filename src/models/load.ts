import { abortable, checkAborted, signalsOf } from '../abort.ts';
import { checkFunctions, checkSignal } from '../check.ts';
import { NoticeError } from '../errors.ts';
import { type Gpu, OutOfMemoryError } from '../gpu/index.ts';
import type { ElementType, QuantizedType } from '../kernels/index.ts';
import {
  type ByteSource,
  Checkpoint,
  doesNotFit,
  type FileStore,
  hasPacked,
  type ModelSource,
  readJson,
  WeightLoader,
  type WeightLoaderOptions,
  type WeightPlan,
  WeightsError,
} from '../weights/index.ts';
import { loadBlip } from './blip/blip.ts';
import type { ModelFamily } from './family.ts';
import { loadGemma3 } from './gemma3/gemma3.ts';
import { loadInstructBlip } from './instructblip/instructblip.ts';
import { loadLlava } from './llava/llava.ts';
import { loadLlavaNext, loadLlavaOnevision } from './llava-next/llava-next.ts';
import type { VisionLanguageModel } from './model.ts';
import { loadPaliGemma } from './paligemma/paligemma.ts';
import { loadQwen } from './qwen-vl/qwen-vl.ts';
import { loadSmolVlm } from './smolvlm/smolvlm.ts';

/** By config.json's model_type. */
const FAMILIES: Readonly<Record<string, ModelFamily>> = {
  blip: loadBlip,
  gemma3: loadGemma3,
  idefics3: loadSmolVlm,
  instructblip: loadInstructBlip,
  llava: loadLlava,
  llava_next: loadLlavaNext,
  llava_onevision: loadLlavaOnevision,
  paligemma: loadPaliGemma,
  qwen2_vl: loadQwen('qwen2_vl'),
  qwen2_5_vl: loadQwen('qwen2_5_vl'),
  qwen3_vl: loadQwen('qwen3_vl'),
  smolvlm: loadSmolVlm,
};

/**
 * How weights are stored in GPU memory. `nf4` and `int8`: so are the linear layers, all but the output head, which is what
 * transformers does with bitsandbytes; all other weights are as in the file.
 */
export type WeightDtype = ElementType | QuantizedType;
export const WEIGHT_DTYPES = ['f32', 'f16', 'bf16', 'nf4', 'int8'] as const satisfies WeightDtype[];

/**
 * What `dtype` can be for a folder: anything, unless bitsandbytes has quantised its layers to NF4.
 *
 * @throws WeightsError, ModelFileError as {@link loadModel} does
 */
export async function weightDtypes(source: ModelSource): Promise<readonly WeightDtype[]> {
  const checkpoint = await Checkpoint.open(source);
  await checkpoint.close();
  return possibleDtypes(checkpoint);
}

function possibleDtypes(checkpoint: Checkpoint): readonly WeightDtype[] {
  return hasPacked(checkpoint) ? ['nf4'] : WEIGHT_DTYPES;
}

/**
 * How a model is loaded; all may be left out. Sizes are in bytes.
 *
 * @example
 * const model = await loadModel(gpu, httpFolder('https://example.org/models/blip'), {
 *   dtype: 'nf4',
 *   onProgress: ({ loaded, total, file }) => console.log(file, loaded / total),
 *   signal: AbortSignal.timeout(60_000),
 *   cache: await opfsStore(), // notice-webgpu/browser
 * });
 */
export interface LoadOptions {
  /** Default: as in the file. Layers that bitsandbytes has quantised are NF4 in any case; other types are refused. */
  readonly dtype?: WeightDtype;
  /** Bytes that the weights may take. Default: what is free, where that is known (`Gpu.freeMemory`). */
  readonly maxWeightBytes?: number;
  /** Called with what the weights will take, before the first is loaded. */
  readonly onPlan?: (plan: WeightPlan) => void;
  /** Further kinds of models by their model_type. */
  readonly families?: Readonly<Record<string, ModelFamily>>;
  /** Ends it at the next read of a file, or of a part of one; its reason is thrown, and what was loaded is freed. */
  readonly signal?: AbortSignal | undefined;
  /** Called as the weights are read, after every few MiB at most; the first call has `loaded` 0, the last `loaded` = `total`. */
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
  /** Keeps what is read of a remote folder (`httpFolder`) for the next time; folders at hand need none. */
  readonly cache?: FileStore | undefined;
}

/** How far the weights have been read. */
export interface LoadProgress {
  /** Bytes of the files' tensors that have been read. */
  readonly loaded: number;
  /** Bytes of all tensors that the model reads. */
  readonly total: number;
  /** Name of the file that is being read: path or URL. */
  readonly file: string;
}

/**
 * Loads a model folder in Hugging Face's layout.
 *
 * @throws ModelFileError, WeightsError, NoticeError('config') naming the file and what is wrong with it; before
 *   anything is loaded, OutOfMemoryError with what is needed and what there is; DeviceLostError; the signal's reason
 */
export async function loadModel(
  gpu: Gpu,
  source: ModelSource,
  options: LoadOptions = {},
): Promise<VisionLanguageModel> {
  const { dtype, maxWeightBytes = gpu.freeMemory, onPlan, onProgress, signal, cache } = options;
  checkFunctions({ onPlan, onProgress });
  const kept = cache ? (source.keptIn?.(cache) ?? source) : source;
  return withFamily(gpu, kept, options, async (make, checkpoint) => {
    const plan = await planOf(make, dtype);
    const refuse = async (available: number | OutOfMemoryError) => {
      const possible = possibleDtypes(checkpoint);
      const others = (['f16', 'int8', 'nf4'] as const).filter(
        (type) => type !== dtype && possible.includes(type),
      );
      const plans = await Promise.all(
        others.map(async (type) => ({ type, bytes: (await planOf(make, type)).bytes })),
      );
      const what = `the weights of ${source.name}${dtype ? ` as ${dtype}` : ''}`;
      return doesNotFit(what, plan, available, plans);
    };
    if (maxWeightBytes !== undefined && plan.bytes > maxWeightBytes) throw await refuse(maxWeightBytes);
    onPlan?.(plan);
    if (onProgress) reportProgress(checkpoint, onProgress);
    const { model } = await make(dtype ? { type: dtype } : {}).catch(async (error: unknown) => {
      throw error instanceof OutOfMemoryError ? await refuse(error) : error;
    });
    try {
      await gpu.finish({ signal });
    } catch (error) {
      model.destroy();
      throw error;
    }
    return model;
  });
}

/** Tells of every chunk that is read from now on; what the model will read is known from its plan. */
function reportProgress(checkpoint: Checkpoint, onProgress: (progress: LoadProgress) => void): void {
  const total = checkpoint.describedBytes;
  let loaded = 0;
  onProgress({ loaded, total, file: checkpoint.name });
  checkpoint.onRead = (bytes, file) => {
    loaded += bytes;
    onProgress({ loaded, total, file });
  };
}

/** What a folder's weights would take as one type. */
export interface DtypePlan {
  /** Undefined: as in the file. */
  readonly dtype: WeightDtype | undefined;
  readonly plan: WeightPlan;
}

/**
 * What a model's weights would take in GPU memory on this device, as in the file first, then as every type that is possible. The
 * files' headers are read once; nothing is loaded.
 *
 * @throws as {@link planModel}
 */
export async function weightPlans(
  gpu: Gpu,
  source: ModelSource,
  options: Pick<LoadOptions, 'families' | 'signal'> = {},
): Promise<DtypePlan[]> {
  return withFamily(gpu, source, options, async (make, checkpoint) => {
    const plans: DtypePlan[] = [];
    for (const dtype of [undefined, ...possibleDtypes(checkpoint)])
      plans.push({ dtype, plan: await planOf(make, dtype) });
    return plans;
  });
}

/**
 * What a model's weights take in GPU memory on this device; nothing is loaded.
 *
 * @throws as {@link loadModel}, but never OutOfMemoryError
 */
export async function planModel(
  gpu: Gpu,
  source: ModelSource,
  options: Pick<LoadOptions, 'dtype' | 'families' | 'signal'> = {},
): Promise<WeightPlan> {
  return withPlannedModel(gpu, source, options, async (_, plan) => plan);
}

/**
 * Runs `work` with a model of which no weight is loaded: good for estimates (`planSweep`) and for nothing else. So what an
 * experiment takes is known for a model that this device could not hold.
 *
 * @throws as {@link planModel}
 */
export async function withPlannedModel<T>(
  gpu: Gpu,
  source: ModelSource,
  options: Pick<LoadOptions, 'dtype' | 'families' | 'signal'>,
  work: (model: VisionLanguageModel, plan: WeightPlan) => Promise<T>,
): Promise<T> {
  const { dtype: type } = options;
  return withFamily(gpu, source, options, async (make) => {
    const { model, loader } = await make({ planOnly: true, ...(type ? { type } : {}) });
    try {
      return await work(model, loader.plan);
    } finally {
      model.destroy();
    }
  });
}

/** Makes the folder's model with a loader of its own. */
type Make = (
  options: WeightLoaderOptions,
) => Promise<{ readonly model: VisionLanguageModel; readonly loader: WeightLoader }>;

async function planOf(make: Make, type: WeightDtype | undefined): Promise<WeightPlan> {
  const { model, loader } = await make({ planOnly: true, ...(type ? { type } : {}) });
  const { plan } = loader;
  model.destroy();
  return plan;
}

async function withFamily<T>(
  gpu: Gpu,
  folder: ModelSource,
  { families, signal }: Pick<LoadOptions, 'families' | 'signal'>,
  work: (make: Make, checkpoint: Checkpoint) => Promise<T>,
): Promise<T> {
  checkSignal(signal);
  const source = abortableSource(folder, signalsOf(gpu.lost, signal));
  const config = (await readJson(source, 'config.json')) as { model_type?: unknown } | null;
  refuseExperts(config, `${source.name}/config.json`);
  const known = new Map(Object.entries({ ...FAMILIES, ...families }));
  const family = known.get(String(config?.model_type));
  if (!family)
    throw new NoticeError(
      'config',
      `${source.name}/config.json: model_type is ${JSON.stringify(config?.model_type)}; supported are ${[...known.keys()].join(', ')}`,
    );
  const checkpoint = await Checkpoint.open(source);
  try {
    return await work(async (options) => {
      const loader = new WeightLoader(gpu, checkpoint, { ...options, signal });
      try {
        return { model: await family({ gpu, source, config, checkpoint, loader }), loader };
      } catch (error) {
        loader.destroy();
        throw error;
      }
    }, checkpoint);
  } finally {
    await checkpoint.close();
  }
}

/** Settings of mixtures of experts, by the names that transformers' families give them. */
const EXPERTS = ['num_experts', 'num_local_experts', 'n_routed_experts', 'moe_intermediate_size'];

/** @throws NoticeError('config') naming the setting */
function refuseExperts(config: unknown, path: string): void {
  if (typeof config !== 'object' || config === null) return;
  for (const [name, value] of Object.entries(config)) {
    if (EXPERTS.includes(name) && typeof value === 'number' && value > 0)
      throw new NoticeError(
        'config',
        `${path}: "${name}" is ${value}; mixtures of experts are not supported`,
      );
    if (name.endsWith('_config')) refuseExperts(value, `${path}: ${name}`);
  }
}

/** A folder of which nothing is read any more when a signal has aborted, and that gives as many bytes as were asked for. */
function abortableSource(folder: ModelSource, signals: readonly AbortSignal[]): ModelSource {
  const read = async <T>(begin: () => Promise<T>): Promise<T> => {
    checkAborted(signals);
    return abortable(begin(), signals);
  };
  return {
    name: folder.name,
    absence: async (file) => folder.absence?.(file),
    open: async (file) => {
      const bytes = await read(() => {
        const opening = folder.open(file);
        const closeLate = async (late?: ByteSource) => {
          if (signals.some(({ aborted }) => aborted)) await late?.close();
        };
        opening.then(closeLate).catch(() => {}); // whoever waits hears of it
        return opening;
      });
      return (
        bytes && {
          name: bytes.name,
          size: bytes.size,
          read: async (offset, length) => {
            const part: unknown = await read(() => bytes.read(offset, length));
            if (part instanceof Uint8Array && part.length === length) return part as Uint8Array<ArrayBuffer>;
            const found = part instanceof Uint8Array ? `${part.length} bytes` : 'no Uint8Array';
            throw new WeightsError(`${bytes.name}: read(${offset}, ${length}) gave ${found}`);
          },
          close: () => bytes.close(),
        }
      );
    },
  };
}
