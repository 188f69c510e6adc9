// Lenses with a linear map per layer: tuned lenses (Belrose et al. 2023), Jacobian lenses, or any other.

import { NoticeError } from '../errors.ts';
import type { Tensor, Work } from '../gpu/index.ts';
import { matmul } from '../kernels/index.ts';
import type { Linear, VisionLanguageModel } from '../models/index.ts';
import { Checkpoint, type ModelSource, WeightLoader, WeightsError } from '../weights/index.ts';

const RESIDUAL = 'residual';

/** Maps of the residual stream in GPU memory, by block. */
export class LensMaps {
  readonly #name: string;
  readonly #maps: ReadonlyMap<number, Linear>;
  readonly #release: () => void;
  /** Whether a map says what is added to the stream (h + W · h + b), or what takes its place (W · h + b). */
  readonly residual: boolean;

  /** `release` frees the maps. */
  constructor(name: string, maps: ReadonlyMap<number, Linear>, residual: boolean, release: () => void) {
    this.#name = name;
    this.#maps = maps;
    this.residual = residual;
    this.#release = release;
  }

  /** Blocks behind which there is a map. */
  get layers(): readonly number[] {
    return [...this.#maps.keys()];
  }

  /** @throws NoticeError('hook') if a block has no map */
  check(layers: readonly number[]): void {
    const without = layers.find((layer) => !this.#maps.has(layer));
    if (without !== undefined)
      throw new NoticeError(
        'hook',
        `${this.#name} has no map for block ${without}, only for ${this.layers.join(', ')}`,
      );
  }

  /**
   * @param stream [R, width] as it leaves the block
   * @returns [R, width]
   */
  apply(w: Work, layer: number, stream: Tensor): Tensor {
    const { weight, bias } = this.#maps.get(layer) as Linear;
    return matmul(w, stream, weight, { bias, ...(this.residual && { residual: stream }) });
  }

  /** Frees the GPU memory. */
  destroy(): void {
    this.#release();
  }
}

/**
 * Loads maps from a safetensors file: `{layer}/weight` [width, width] (rows are outputs, as in torch.nn.Linear), `{layer}/bias`
 * [width] or none, where layer n is the stream as it leaves block n of the tower that answers; metadata `residual`: `true` for
 * h + W · h + b, `false` for W · h + b. Weights stay in the file's type, arithmetic is f32.
 *
 * @param file its name in the folder
 * @throws WeightsError naming file and tensor for one that is missing, damaged, of another shape or for no block, and if the
 *   metadata does not say which kind it is
 */
export async function loadLensMaps(
  model: VisionLanguageModel,
  folder: ModelSource,
  file = 'lens.safetensors',
): Promise<LensMaps> {
  const source = await folder.open(file);
  if (!source) throw new WeightsError(`${folder.name} has no ${file}`);
  const checkpoint = await Checkpoint.ofFile(source);
  const loader = new WeightLoader(model.gpu, checkpoint);
  try {
    const residual = checkpoint.metadata[RESIDUAL];
    if (residual !== 'true' && residual !== 'false')
      throw new WeightsError(
        `${source.name}: expected the metadata "${RESIDUAL}" to be "true" or "false", found ${JSON.stringify(residual)}`,
      );
    const maps = new Map<number, Linear>();
    for (const layer of layersOf(model, checkpoint)) {
      const { width: rows } = model.configs.at(-1) as VisionLanguageModel['configs'][number];
      const bias = `${layer}/bias`;
      maps.set(layer, {
        weight: await loader.matrix(`${layer}/weight`, { rows, columns: rows }),
        bias: checkpoint.has(bias) ? await loader.vector(bias, rows) : undefined,
      });
    }
    await model.gpu.finish();
    return new LensMaps(source.name, maps, residual === 'true', () => loader.destroy());
  } catch (error) {
    loader.destroy();
    throw error;
  } finally {
    await checkpoint.close();
  }
}

/** @throws WeightsError for a tensor that is no map of a block */
function layersOf({ configs }: VisionLanguageModel, checkpoint: Checkpoint): number[] {
  const blocks = configs.at(-1)?.layers ?? 0;
  const layers = new Set<number>();
  for (const name of checkpoint.names) {
    const layer = Number(/^(\d+)\/(?:weight|bias)$/.exec(name)?.[1] ?? Number.NaN);
    if (!(layer < blocks))
      throw new WeightsError(
        `${checkpoint.name}: "${name}" is no map: expected {layer}/weight and {layer}/bias for blocks 0 to ${blocks - 1}`,
      );
    layers.add(layer);
  }
  if (layers.size === 0) throw new WeightsError(`${checkpoint.name} holds no maps`);
  return [...layers].sort((a, b) => a - b);
}
