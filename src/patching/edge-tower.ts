// The tower that answers as nodes of a graph: what each sends into the residual stream and reads of it, for edge attribution.

import { NoticeError } from '../errors.ts';
import type { Tensor, Work } from '../gpu/index.ts';
import { gatherRows, matmul, type Weight } from '../kernels/index.ts';
import { type BlockWeights, headResults, type VisionLanguageModel } from '../models/index.ts';
import type { ActivationCache } from './cache.ts';
import type { Gradients } from './gradients.ts';
import { inputGradients } from './input-gradients.ts';
import type { PathEnd } from './path-patching.ts';

/** What senders and receivers are on the GPU at a time, of some positions, in bytes. */
const SCRATCH_BYTES = 64 * 1024 * 1024;

/** A node with its place in the order of computation: of block l attention has 2 l + 1, the MLP 2 l + 2. */
interface Placed<T> {
  readonly end: T;
  readonly place: number;
}

/** The tower that answers, as nodes. */
export class EdgeTower {
  readonly embedding: string;
  readonly senders: readonly Placed<PathEnd>[];
  readonly receivers: readonly Placed<PathEnd | 'logits'>[];
  /** Hook points whose values are sent, and those whose gradients are needed. */
  readonly sent: readonly string[];
  readonly received: readonly string[];
  readonly #model: VisionLanguageModel;
  readonly #blocks: readonly BlockWeights[];
  readonly #heads: number;
  readonly #keyHeads: number;
  readonly #prefix: string;

  constructor(model: VisionLanguageModel) {
    const name = model.towers.at(-1) as string;
    const config = model.configs.find((one) => one.name === name);
    const { blocks } = model.answerer;
    if (
      config?.norm !== 'before' ||
      blocks.some(
        ({ attention, cross, mlp, queryMlp }) => attention.outputNorm || mlp.outputNorm || cross || queryMlp,
      )
    )
      throw new NoticeError(
        'usage',
        `${name}: edges need a tower whose stream is the sum of what heads and MLPs give; take pathPatching`,
      );
    this.#model = model;
    this.#blocks = blocks;
    this.#heads = config.heads;
    this.#keyHeads = config.keyHeads;
    this.#prefix = `${name}.blocks`;
    this.embedding = `${name}.hook_embed`;
    const each = (count: number) => Array.from({ length: count }, (_, head) => head);
    const hook = (layer: number, point: string) => `${this.#prefix}.${layer}.${point}`;
    const layers = each(blocks.length);
    this.senders = [
      { end: { hook: this.embedding }, place: 0 },
      ...layers.flatMap((layer) => [
        ...each(config.heads).map((head) => ({
          end: { hook: hook(layer, 'attn.hook_z'), heads: [head] },
          place: 2 * layer + 1,
        })),
        { end: { hook: hook(layer, 'hook_mlp_out') }, place: 2 * layer + 2 },
      ]),
    ];
    this.receivers = [
      ...layers.flatMap((layer) => [
        ...(['q', 'k', 'v'] as const).flatMap((part) =>
          each(part === 'q' ? config.heads : config.keyHeads).map((head) => ({
            end: { hook: hook(layer, `attn.hook_${part}`), heads: [head] },
            place: 2 * layer + 1,
          })),
        ),
        { end: { hook: hook(layer, 'mlp.hook_pre') }, place: 2 * layer + 2 },
      ]),
      { end: 'logits', place: 2 * blocks.length + 1 },
    ];
    this.sent = [...new Set(this.senders.map(({ end }) => end.hook))];
    const known = new Set(model.hooks.map((info) => info.name));
    this.received = layers.flatMap((layer) =>
      [
        ...['hook_resid_pre', 'attn.hook_q', 'attn.hook_k', 'attn.hook_v', 'hook_resid_mid', 'mlp.hook_pre'],
        ...['mlp.hook_pre_linear', 'hook_resid_post'],
      ]
        .map((point) => hook(layer, point))
        .filter((full) => known.has(full)),
    );
  }

  /** Adds the scores of all edges, [senders, receivers], by some gradients. */
  async score(
    changes: ReadonlyMap<string, Float32Array>,
    found: Gradients,
    scores: Float64Array,
  ): Promise<void> {
    const { cache } = found;
    const first = cache.get(`${this.#prefix}.0.hook_resid_pre`);
    const positions = first.lengths[0] as number;
    const rows = Math.max(this.senders.length, this.#heads + 2 * this.#keyHeads);
    const count = Math.max(1, Math.floor(SCRATCH_BYTES / (4 * rows * first.tensor.columns)));
    for (let at = 0; at < positions; at += count) {
      const own = { first: at, count: Math.min(count, positions - at) };
      await this.#model.gpu.work(async (w) => {
        const change = this.#changes(w, changes, own, first.tensor.columns);
        let receiver = 0;
        for (const gradients of await this.#gradients(w, found, own)) {
          const { rows: receivers } = gradients;
          await this.#dot(w, change, gradients, receiver, scores);
          receiver += receivers;
          w.release(gradients);
        }
      });
    }
  }

  /** u − u* of all senders at some positions: [senders, positions · width]. */
  #changes(
    w: Work,
    changes: ReadonlyMap<string, Float32Array>,
    { first, count }: Slice,
    width: number,
  ): Tensor {
    const all = w.empty(this.senders.length * count, width, 'changes of senders');
    let sender = 0;
    const put = (x: Tensor, each: number) => {
      // Rows of a position, sender by sender, become those of a sender, position by position.
      const order = Uint32Array.from(
        { length: each * count },
        (_, i) => (i % count) * each + Math.floor(i / count),
      );
      gatherRows(w, x, order, { ...all, rows: order.length, offset: sender * count * width });
      sender += each;
      w.release(x);
    };
    for (const name of this.sent) {
      const values = changes.get(name) as Float32Array;
      const layer = Number(/\.blocks\.(\d+)\.attn/.exec(name)?.[1] ?? -1);
      const { output } = (this.#blocks[Math.max(0, layer)] as BlockWeights).attention;
      const columns = layer < 0 ? width : output.weight.columns;
      const x = w.upload(values.subarray(first * columns, (first + count) * columns), count, columns, name);
      if (layer < 0) put(x, 1);
      else {
        const results = headResults(w, x, this.#heads, output.weight);
        w.release(x);
        put({ ...results, rows: count * this.#heads, columns: width, stride: width }, this.#heads);
      }
    }
    return { ...all, rows: this.senders.length, columns: count * width, stride: count * width };
  }

  /** Of receivers in their order, some together: the metric's gradient by what they read, [receivers, positions · width]. */
  async #gradients(w: Work, { cache, gradients }: Gradients, own: Slice): Promise<Tensor[]> {
    const found: Tensor[] = [];
    const of = (from: ActivationCache, layer: number, point: string) =>
      slice(from.get(`${this.#prefix}.${layer}.${point}`).tensor, own);
    for (const [layer, { attention, mlp }] of this.#blocks.entries()) {
      const stream = of(cache, layer, 'hook_resid_pre');
      const { queryKeyValue, norm } = attention;
      const parts = ['q', 'k', 'v'].map((part) => of(gradients, layer, `attn.hook_${part}`));
      const inputs = { stream, norm, family: this.#model.family };
      const heads = this.#heads + 2 * this.#keyHeads;
      found.push(
        await inputGradients(w, {
          ...inputs,
          outputs: [{ weight: queryKeyValue.weight, parts }],
          groups: heads,
        }),
      );
      const outputs = [
        { weight: mlp.input.weight, parts: [of(gradients, layer, 'mlp.hook_pre')] },
        ...(mlp.linear
          ? [{ weight: mlp.linear.weight, parts: [of(gradients, layer, 'mlp.hook_pre_linear')] }]
          : []),
      ];
      const mid = of(cache, layer, 'hook_resid_mid');
      found.push(await inputGradients(w, { ...inputs, stream: mid, norm: mlp.norm, outputs, groups: 1 }));
    }
    const last = of(gradients, this.#blocks.length - 1, 'hook_resid_post');
    const copy = gatherRows(
      w,
      last,
      range(own.count),
      w.empty(own.count, last.columns, 'gradient of the stream'),
    );
    found.push({ ...copy, rows: 1, columns: own.count * copy.columns, stride: own.count * copy.columns });
    return found;
  }

  /** Adds the products of changes and gradients where an edge leads. */
  async #dot(w: Work, change: Tensor, gradients: Tensor, first: number, scores: Float64Array): Promise<void> {
    const { rows, columns, buffer } = gradients;
    const weight: Weight = {
      ...{ name: 'gradients of receivers', type: 'f32', rows, columns, stride: columns },
      parts: [{ buffer, firstRow: 0, rows }],
    };
    const products = matmul(w, change, weight);
    const [values = new Float32Array()] = await w.read(products);
    w.release(products);
    for (const [s, sender] of this.senders.entries()) {
      for (let r = 0; r < rows; r++) {
        const at = s * this.receivers.length + first + r;
        if (sender.place < (this.receivers[first + r] as Placed<unknown>).place)
          scores[at] = (scores[at] as number) + (values[s * rows + r] as number);
      }
    }
  }
}

/** Some positions. */
interface Slice {
  readonly first: number;
  readonly count: number;
}

function slice(x: Tensor, { first, count }: Slice): Tensor {
  return { ...x, rows: count, offset: x.offset + first * x.stride };
}

function range(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => i);
}
