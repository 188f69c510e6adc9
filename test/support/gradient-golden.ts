// The golden gradients: what torch.autograd gives for the small random models.

import type { VisionLanguageModel } from '../../src/models/index.ts';
import { logitDifference, type Metric } from '../../src/patching/index.ts';
import { fileSource } from '../../src/platform/node/files.ts';
import { asFloat32, readTensors } from '../../src/weights/index.ts';
import { fixture, Golden, loadFixtureModel } from './golden.ts';

/** The reference's own f32 error is up to 3.3e-5 of a tensor's largest gradient; this leaves room for as much of ours, and more steps. */
export const GRADIENT = 2e-4;

export class GradientGolden {
  readonly model: VisionLanguageModel;
  /** The runs. */
  readonly golden: Golden;
  readonly #tensors: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>;

  private constructor(
    model: VisionLanguageModel,
    golden: Golden,
    tensors: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>,
  ) {
    this.model = model;
    this.golden = golden;
    this.#tensors = tensors;
  }

  static async open(folder: string): Promise<GradientGolden> {
    const source = await fileSource(fixture(`gradients/${folder}.safetensors`));
    const raw = await readTensors(source);
    await source.close();
    const tensors = new Map(
      [...raw].map(([name, tensor]) => [name, { shape: tensor.shape, data: asFloat32(tensor, name) }]),
    );
    return new GradientGolden(await loadFixtureModel(folder), await Golden.open(folder), tensors);
  }

  /** Names behind a prefix. */
  names(prefix: string): string[] {
    return [...this.#tensors.keys()]
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length));
  }

  get(name: string): { shape: readonly number[]; data: Float32Array } {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new Error(`no golden gradient ${name}`);
    return tensor;
  }

  /** The case's logit difference. */
  metric(id: string): Metric {
    const found = this.golden.cases.find((one) => one.id === id);
    if (!found) throw new Error(`no case ${id}`);
    return logitDifference(found.correct_token, found.incorrect_token);
  }
}
