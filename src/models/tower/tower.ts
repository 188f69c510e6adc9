// The one transformer of this library: ViT, CLIP, BERT and LLaMA are settings of it.

import type { Tensor } from '../../gpu/index.ts';
import {
  activate,
  add,
  type LinearWeight,
  matmul,
  type NormWeights,
  normalize,
  silenceRows,
} from '../../kernels/index.ts';
import { crossAttention, selfAttention } from './attention-layer.ts';
import type { BlockWeights, Linear, TowerConfig } from './config.ts';
import { silentRows } from './cuts.ts';
import { freezeRows } from './frozen.ts';
import { headResults } from './head-results.ts';
import { mlpOfEach, setWordsAside, takeWordsBack } from './queries.ts';
import { type Frame, passPoint, rowActivation, type Walk } from './walk.ts';

/** How a sublayer ends. */
interface Sublayer {
  readonly output: Linear;
  readonly norm: NormWeights;
  readonly outputNorm?: NormWeights;
}

export class Tower {
  readonly config: TowerConfig;
  readonly blocks: readonly BlockWeights[];

  constructor(config: TowerConfig, blocks: readonly BlockWeights[]) {
    this.config = config;
    this.blocks = blocks;
  }

  /**
   * Walks blocks `from` to `to` (exclusive).
   *
   * @param x residual stream [rows, width]; it is used up
   * @param entered whether {@link enter} has been called for the first of them
   * @returns the residual stream above; the runs' rows are those of the result
   */
  async walk(
    walk: Walk,
    x: Tensor,
    from = 0,
    to = this.config.layers,
    { entered = false }: { readonly entered?: boolean } = {},
  ): Promise<Tensor> {
    const stream: Frame<'x'> = { x };
    for (let layer = from; layer < to; layer++) {
      if (layer > from || !entered) await this.enter(walk, layer, stream);
      await this.#block(walk, layer, stream);
      walk.behind?.(layer, stream);
    }
    return stream.x;
  }

  /** Passes the hook point at a block's input, for who makes something else of the stream there. */
  async enter(walk: Walk, layer: number, stream: Frame<'x'>): Promise<void> {
    if (layer < this.config.layers) await passPoint(walk, this.#hook(layer, 'hook_resid_pre'), stream, 'x');
  }

  async #block(walk: Walk, layer: number, stream: Frame<'x'>): Promise<void> {
    const { attention, cross, mlp, queryMlp } = this.blocks[layer] as BlockWeights;
    const { heads } = this.config;
    const z = await this.#withInput(walk, stream, attention.norm, (input) =>
      selfAttention(walk, this.config, attention, layer, input, stream),
    );
    await this.#sum(walk, layer, stream, z, 'attn.hook_z', heads, attention, 'attn_out', 'resid_mid');

    if (cross) {
      const words = setWordsAside(walk, stream);
      const crossZ = await this.#withInput(walk, stream, cross.norm, (input) =>
        crossAttention(walk, this.config, cross, layer, input, stream),
      );
      await this.#sum(
        walk,
        layer,
        stream,
        crossZ,
        'cross_attn.hook_z',
        heads,
        cross,
        'cross_attn_out',
        'resid_cross',
      );
      if (words) takeWordsBack(walk, stream, words);
    }

    if (queryMlp) {
      const hook = (point: string) => this.#hook(layer, point);
      return mlpOfEach(walk, hook, stream, this.config.activation, { queries: queryMlp, words: mlp });
    }

    const hidden = await this.#withInput(walk, stream, mlp.norm, (input) =>
      this.#hidden(walk, layer, input, stream, mlp),
    );
    await this.#sum(walk, layer, stream, hidden, 'mlp.hook_post', 1, mlp, 'mlp_out', 'resid_post');
  }

  /** Gives a sublayer its input: the stream, or the stream normalised. */
  async #withInput(
    { w }: Walk,
    stream: Frame<'x'>,
    norm: NormWeights,
    sublayer: (input: Tensor) => Promise<Tensor>,
  ): Promise<Tensor> {
    if (this.config.norm === 'after') return sublayer(stream.x);
    const input = normalize(w, stream.x, norm);
    const output = await sublayer(input);
    w.release(input);
    return output;
  }

  /**
   * Ends a sublayer: its inner activation (z or the MLP's hidden values) through the output projection, in a sandwich
   * normalised, added to the stream, and normalised where norms come after. Product and sum are one kernel unless
   * somebody looks between.
   */
  async #sum(
    walk: Walk,
    layer: number,
    stream: Frame<'x'>,
    inner: Tensor,
    innerHook: string,
    heads: number,
    { output, norm, outputNorm }: Sublayer,
    outHook: string,
    sumHook: string,
  ): Promise<void> {
    const { w } = walk;
    const { weight, bias } = output;
    const before = { x: stream.x, inner };
    freezeRows(walk, this.config.name, innerHook.startsWith('mlp.') ? 'mlp' : 'attention', inner);
    await passPoint(walk, this.#hook(layer, innerHook), before, 'inner', heads);
    if (innerHook.endsWith('hook_z'))
      await this.#results(walk, this.#hook(layer, innerHook.replace('hook_z', 'hook_result')), before.inner, {
        heads,
        weight,
      });
    const outName = this.#hook(layer, `hook_${outHook}`);
    const cuts = walk.probe.cuts?.(this.#hook(layer, innerHook.replace('hook_z', 'hook_attn_scores')));
    let sum: Tensor;
    if (outputNorm || cuts?.silent || walk.probe.wants(outName)) {
      const after = { x: before.x, out: matmul(w, before.inner, weight, { bias }) };
      if (cuts?.silent) silenceRows(w, before.inner, after.out, silentRows(cuts.read()));
      if (outputNorm) {
        const [module] = innerHook.split('.');
        await passPoint(walk, this.#hook(layer, `${module}.hook_out`), after, 'out');
        const whole = after.out;
        after.out = normalize(w, whole, outputNorm);
        w.release(whole);
      }
      await passPoint(walk, outName, after, 'out');
      sum = add(w, after.out, after.x);
      w.release(after.x, after.out);
    } else {
      sum = matmul(w, before.inner, weight, { bias, residual: before.x });
      w.release(before.x);
    }
    w.release(before.inner);
    stream.x = sum;
    await passPoint(walk, this.#hook(layer, `hook_${sumHook}`), stream, 'x');
    if (this.config.norm === 'before') return;
    sum = stream.x;
    stream.x = normalize(w, sum, norm);
    w.release(sum);
    await passPoint(walk, this.#hook(layer, `hook_normalized_${sumHook}`), stream, 'x');
  }

  /** Shows what each head alone makes of z to whoever asks for it. */
  async #results(
    { w, probe }: Walk,
    name: string,
    z: Tensor,
    { heads, weight }: { readonly heads: number; readonly weight: LinearWeight },
  ): Promise<void> {
    if (!probe.wants(name)) return;
    const results = headResults(w, z, heads, weight);
    await probe.visit(rowActivation(name, results, heads));
    w.release(results);
  }

  /** The MLP up to its hidden values after the activation (and gate). */
  async #hidden(
    walk: Walk,
    layer: number,
    input: Tensor,
    stream: Frame<'x'>,
    mlp: BlockWeights['mlp'],
  ): Promise<Tensor> {
    const { w } = walk;
    const { activation } = this.config;
    const { weight, bias } = mlp.input;
    const preHook = this.#hook(layer, 'mlp.hook_pre');
    const linearHook = this.#hook(layer, 'mlp.hook_pre_linear');
    if (!mlp.linear) {
      if (!walk.probe.wants(preHook)) return matmul(w, input, weight, { bias, activation });
      const frame = { x: stream.x, pre: matmul(w, input, weight, { bias }) };
      await passPoint(walk, preHook, frame, 'pre');
      stream.x = frame.x;
      const hidden = activate(w, frame.pre, activation);
      w.release(frame.pre);
      return hidden;
    }
    const frame = {
      x: stream.x,
      pre: matmul(w, input, weight, { bias }),
      linear: matmul(w, input, mlp.linear.weight, { bias: mlp.linear.bias }),
    };
    await passPoint(walk, preHook, frame, 'pre');
    await passPoint(walk, linearHook, frame, 'linear');
    stream.x = frame.x;
    const hidden = activate(w, frame.pre, activation, frame.linear);
    w.release(frame.pre, frame.linear);
    return hidden;
  }

  #hook(layer: number, point: string): string {
    return `${this.config.name}.blocks.${layer}.${point}`;
  }
}
