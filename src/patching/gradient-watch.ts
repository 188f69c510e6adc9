// Who sees, on the way up, the activations whose gradients are asked for, and on the way back these.

import type { TapedWork, Tensor, Work } from '../gpu/index.ts';
import type { Activation, ModelRun, PixelPart } from '../models/index.ts';
import { type CachedActivation, cacheRows, rowsOfRuns } from './cache.ts';
import type { Watch } from './probe.ts';

/** Gradients of the pixel values of some images. */
export interface PixelGradients {
  readonly tensor: Tensor;
  readonly parts: readonly PixelPart[];
}

export class GradientWatch implements Watch {
  readonly names: ReadonlySet<string>;
  readonly values: CachedActivation[] = [];
  /** By hook name, in the order of the way back. */
  readonly gradients = new Map<string, CachedActivation>();
  readonly pixelGradients: PixelGradients[] = [];
  readonly pixels: ((tensor: Tensor, parts: readonly PixelPart[]) => void) | undefined;
  readonly #taped: TapedWork;

  /** @param pixels whether gradients of pixel values are asked for */
  constructor(taped: TapedWork, names: ReadonlySet<string>, pixels: boolean) {
    this.#taped = taped;
    this.names = names;
    this.pixels = pixels ? (tensor, parts) => this.#seePixels(tensor, parts) : undefined;
  }

  see(_w: Work, activation: Activation, runs: readonly ModelRun[]): void {
    const { inner, tape } = this.#taped;
    const { name, heads, size, tensor } = activation;
    const rows = rowsOfRuns(activation, runs);
    this.values.push(cacheRows(inner, activation, rows, tensor));
    tape.watch(tensor, (gradient) => {
      this.gradients.set(name, cacheRows(inner, { name, heads, size }, rows, gradient));
    });
  }

  #seePixels(tensor: Tensor, parts: readonly PixelPart[]): void {
    const { inner, tape } = this.#taped;
    const { rows, columns } = tensor;
    tape.watch(tensor, (gradient) => {
      const copy = inner.empty(rows, columns, 'gradient of pixel values');
      if (gradient) inner.copy(gradient.buffer, 0, copy.buffer, 0, 4 * rows * columns);
      else inner.clear(copy.buffer, 0, 4 * rows * columns);
      this.pixelGradients.push({ tensor: copy, parts });
    });
  }
}
