// A residual stream taken apart: what the embedding, each head, each MLP and each bias has written into it at one position, as far
// as the head. Norms on the way are held at the scale that they have in this run, so that every step is linear in the parts.

import { NoticeError } from '../errors.ts';
import { rowsOf, type Tensor, type Work } from '../gpu/index.ts';
import {
  activationBackward,
  addRows,
  gatherRows,
  matmul,
  type NormWeights,
  normalizeFrozen,
  type Vector,
} from '../kernels/index.ts';
import {
  type Activation,
  headResults,
  type Linear,
  type ModelRun,
  sequenceIn,
  type TowerConfig,
  type VisionLanguageModel,
} from '../models/index.ts';
import type { Watch } from './probe.ts';

/** What has written a part of the stream. */
export interface PartName {
  /**
   * Hook point or derived activation of the part; `….bias` for the bias of an attention's output, and in towers that normalise
   * after a sublayer the shift of that norm; `head.bias` for what the head adds whatever comes.
   */
  readonly name: string;
  readonly layer?: number;
  readonly head?: number;
}

/** The parts of one run's stream. */
interface Parts {
  readonly position: number;
  readonly names: PartName[];
  /** [most parts, width], of which the first `names.length` are there. */
  readonly rows: Tensor;
}

/** Parts of a run where the vocabulary's matrix is multiplied. */
export interface HeadParts {
  readonly names: readonly PartName[];
  /** [parts, width], without the head's bias. */
  readonly rows: Tensor;
  /** [1, width] the stream as it leaves the last block. */
  readonly stream: Tensor;
}

export const HEAD_BIAS = 'head.bias';

/** Sees the walk of the tower that answers and takes its stream apart as it grows. */
export class StreamParts implements Watch {
  readonly names: ReadonlySet<string>;
  /** For each run, once the last block is through. */
  readonly results: HeadParts[] = [];
  readonly #model: VisionLanguageModel;
  readonly #tower: TowerConfig;
  readonly #position: number | undefined;
  #parts: Parts[] = [];
  /** Where the rows of the sublayer at hand begin. */
  #first: number[] = [];

  /** @param position of the tower that answers; default its last */
  constructor(model: VisionLanguageModel, position: number | undefined) {
    this.#model = model;
    this.#position = position;
    const name = model.towers.at(-1) as string;
    this.#tower = model.configs.find((config) => config.name === name) as TowerConfig;
    const { norm, layers } = this.#tower;
    const known = new Set(model.hooks.map((hook) => hook.name));
    const after = norm === 'after' ? ['hook_resid_mid', 'hook_resid_cross', 'hook_resid_post'] : [];
    const each = ['attn.hook_z', 'attn.hook_out', 'cross_attn.hook_z', 'hook_mlp_out', ...after];
    this.names = new Set([
      `${name}.hook_embed`,
      ...Array.from({ length: layers }, (_, layer) => each.map((hook) => this.#hook(layer, hook)))
        .flat()
        .filter((hook) => known.has(hook)),
      this.lastHook,
    ]);
  }

  /** The stream that the head reads. */
  get lastHook(): string {
    const { norm, layers } = this.#tower;
    return this.#hook(layers - 1, norm === 'after' ? 'hook_normalized_resid_post' : 'hook_resid_post');
  }

  see(w: Work, activation: Activation, runs: readonly ModelRun[]): void {
    const sequences = runs.map((run) => sequenceIn(run, this.#tower.name));
    if (activation.name.endsWith('.hook_embed'))
      this.#parts = sequences.map(({ length }) => this.#begin(w, length));
    this.#parts.forEach((parts, i) => {
      const row = activation.rowOf(sequences[i] as (typeof sequences)[number], parts.position);
      this.#step(w, activation, rowsOf(activation.tensor, row, 1), i);
    });
    if (activation.name === this.lastHook)
      this.#parts.forEach((parts, i) => {
        const row = activation.rowOf(sequences[i] as (typeof sequences)[number], parts.position);
        this.results.push(this.#end(w, parts, rowsOf(activation.tensor, row, 1)));
      });
  }

  #begin(w: Work, length: number): Parts {
    const { layers, width, heads, name } = this.#tower;
    const position = this.#position ?? length - 1;
    if (position >= length)
      throw new NoticeError('hook', `${name}: position ${position} does not exist, there are ${length}`);
    // The embedding; heads and bias of two attentions, MLP and shift of a norm; the head's bias.
    const most = 2 + layers * (2 * (heads + 1) + 2);
    return { position, names: [], rows: w.empty(most, width, 'parts of a stream') };
  }

  /** What a hook point adds to a run's parts, or does to them. `at`: the activation's row. */
  #step(w: Work, { name, heads }: Activation, at: Tensor, run: number): void {
    const parts = this.#parts[run] as Parts;
    const { blocks } = this.#model.answerer;
    const [, number] = /\.blocks\.(\d+)\./.exec(name) ?? [];
    if (number === undefined) {
      this.#add(w, parts, at, [{ name }]);
      return;
    }
    const layer = Number(number);
    const { attention, cross, mlp } = blocks[layer] as (typeof blocks)[number];
    const hook = name.slice(this.#hook(layer, '').length);
    const after = this.#tower.norm === 'after';
    const biasOf = (sublayer: string): PartName => ({ name: this.#hook(layer, `${sublayer}.bias`), layer });
    if (hook === 'attn.hook_z') this.#addHeads(w, run, at, name, heads, attention.output, biasOf('attn'));
    // A sandwich: the output is normalised before it is added.
    else if (hook === 'attn.hook_out' && attention.outputNorm)
      this.#normalize(w, parts, this.#first[run] as number, at, attention.outputNorm);
    else if (hook === 'cross_attn.hook_z' && cross)
      this.#addHeads(w, run, at, name, heads, cross.output, biasOf('cross_attn'));
    else if (hook === 'hook_mlp_out') this.#add(w, parts, at, [{ name, layer }]);
    else if (hook === 'hook_resid_mid') this.#normalizeAll(w, parts, at, attention.norm, biasOf('attn'));
    else if (hook === 'hook_resid_cross' && cross)
      this.#normalizeAll(w, parts, at, cross.norm, biasOf('cross_attn'));
    else if (hook === 'hook_resid_post' && after) this.#normalizeAll(w, parts, at, mlp.norm, biasOf('mlp'));
  }

  /** What each head makes of its z, and the bias of their output. */
  #addHeads(
    w: Work,
    run: number,
    z: Tensor,
    name: string,
    heads: number,
    { weight, bias }: Linear,
    biasPart: PartName,
  ): void {
    const parts = this.#parts[run] as Parts;
    const { width } = this.#tower;
    this.#first[run] = parts.names.length;
    const results = headResults(w, z, heads, weight);
    const rows = { ...results, rows: heads, columns: width, stride: width };
    const { layer = 0 } = biasPart;
    const result = name.replace(/z$/, 'result');
    this.#add(
      w,
      parts,
      rows,
      Array.from({ length: heads }, (_, head) => ({ name: result, layer, head })),
    );
    w.release(results);
    this.#addVector(w, parts, biasPart, bias);
  }

  /** Through the head as far as the vocabulary's matrix. */
  #end(w: Work, parts: Parts, at: Tensor): HeadParts {
    const { transform, norm } = this.#model.answerer.head;
    const stream = copyOf(w, at);
    let whole = stream;
    let { rows } = parts;
    if (transform) {
      const { weight, bias } = transform.dense;
      const hidden = matmul(w, stream, weight, { bias });
      rows = matmul(w, rowsOf(parts.rows, 0, parts.names.length + 1), weight);
      w.release(parts.rows);
      parts = { ...parts, rows };
      this.#addVector(w, parts, { name: HEAD_BIAS }, bias);
      const points = gatherRows(
        w,
        hidden,
        new Uint32Array(rows.rows),
        w.empty(rows.rows, rows.columns, 'points of an activation'),
      );
      const sloped = activationBackward(w, points, transform.activation, rows);
      w.release(rows, points, hidden);
      rows = sloped;
      parts = { ...parts, rows };
      whole = matmul(w, stream, weight, { bias, activation: transform.activation });
    }
    this.#normalizeAll(w, parts, whole, norm, { name: HEAD_BIAS });
    return { names: parts.names, rows: rowsOf(rows, 0, parts.names.length), stream };
  }

  /** All parts through a norm of the stream, whose shift is a part of its own. */
  #normalizeAll(w: Work, parts: Parts, at: Tensor, norm: NormWeights, shift: PartName): void {
    this.#normalize(w, parts, 0, at, norm);
    this.#addVector(w, parts, shift, norm.shift);
  }

  #normalize(w: Work, { rows, names }: Parts, first: number, at: Tensor, norm: NormWeights): void {
    normalizeFrozen(w, rows, { first, count: names.length - first }, at, norm);
  }

  #add(w: Work, { rows, names }: Parts, from: Tensor, added: readonly PartName[]): void {
    const index = Uint32Array.from(added, (_, i) => i);
    gatherRows(w, from, index, rowsOf(rows, names.length, added.length));
    names.push(...added);
  }

  /** Adds a vector of parameters to the part of this name, which may be there already. */
  #addVector(w: Work, parts: Parts, part: PartName, vector: Vector | undefined): void {
    if (!vector) return;
    const { buffer, length } = vector;
    const row = { buffer, rows: 1, columns: length, stride: length, offset: 0 };
    const place = parts.names.findIndex(({ name }) => name === part.name);
    if (place < 0) this.#add(w, parts, row, [part]);
    else addRows(w, parts.rows, row, Uint32Array.of(place, 0));
  }

  #hook(layer: number, point: string): string {
    return `${this.#tower.name}.blocks.${layer}.${point}`;
  }
}

function copyOf(w: Work, row: Tensor): Tensor {
  return gatherRows(w, row, Uint32Array.of(0), w.empty(1, row.columns, 'a row'));
}
