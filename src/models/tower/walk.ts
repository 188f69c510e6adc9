// One walk up a tower: the residual stream of all its runs, and how a hook point is passed.

import type { Tensor, Work } from '../../gpu/index.ts';
import type { Mask } from './mask.ts';
import type { Activation, Probe } from './probe.ts';
import { appendRows } from './rows.ts';
import type { Sequence } from './sequence.ts';

/** What a walk attends to in another tower: that tower's output and runs. */
export interface Memory {
  readonly tensor: Tensor;
  /**
   * Keys and values that cross-attention makes of it, by layer, where other walks will use them again; absent where
   * each layer's are used once.
   */
  readonly keyValues: Map<number, Tensor> | undefined;
}

/** Keys and values of earlier positions, for generation token by token. */
export interface KeyValueCache {
  /** Per layer keys and values [sequences · capacity, 2 · keyHeads · d_head]. */
  readonly layers: Tensor[];
  /** Positions per sequence that fit. */
  readonly capacity: number;
}

/** Angles for the positions of a walk. */
export interface RotaryTables {
  /** (cos, sin) of the walk's position ids at a layer. */
  tableOf(layer: number): GPUBuffer;
  /** Which row of them turns a run's position. */
  rowOf(run: Sequence, position: number): number;
  release(): void;
}

export interface Walk {
  readonly w: Work;
  readonly probe: Probe;
  /** Bases come before what is derived from them. */
  readonly runs: readonly Sequence[];
  readonly memory?: Memory | undefined;
  readonly cache?: KeyValueCache | undefined;
  /** Which keys queries see in self-attention; default what the tower's settings say. */
  readonly mask?: Mask | undefined;
  /** What is added to the residual stream behind a block, after `hook_resid_post`. */
  readonly behind?: ((layer: number, stream: Frame<'x'>) => void) | undefined;
  /** Where the tower is rotary. */
  readonly rotary?: RotaryTables;
}

/** Tensors whose rows belong to the same positions of the same runs. */
export type Frame<K extends string> = { [key in K]: Tensor };

/**
 * Passes a hook point on row-wise activations: runs that depart from their base here get rows in every tensor of the
 * frame, then the probe sees `frame[key]`.
 */
export async function passPoint<K extends string>(
  walk: Walk,
  name: string,
  frame: Frame<K>,
  key: K,
  heads = 1,
): Promise<void> {
  const { w, probe } = walk;
  if (!probe.wants(name)) return probe.passed?.(name, frame[key].rows);
  const sources: number[] = [];
  const { rows } = frame[key];
  for (const { run, positions } of probe.forks(name)) {
    for (const position of positions) {
      if (run.owns(position)) continue;
      const source = run.row(position);
      if (source < 0) continue; // An earlier position of an answer in the making: it is not computed again.
      sources.push(source < rows ? source : (sources[source - rows] as number));
      run.rows[position] = rows + sources.length - 1;
    }
  }
  appendToFrame(w, frame, Uint32Array.from(sources));
  probe.passed?.(name, frame[key].rows);
  await probe.visit(rowActivation(name, frame[key], heads));
}

/** Adds copies of rows to every tensor of a frame. */
export function appendToFrame<K extends string>(w: Work, frame: Frame<K>, sources: Uint32Array): void {
  for (const key of Object.keys(frame) as K[]) frame[key] = appendRows(w, frame[key], sources);
}

/** An activation whose rows are those of the residual stream. */
export function rowActivation(name: string, tensor: Tensor, heads: number): Activation {
  return {
    name,
    tensor,
    heads,
    size: tensor.columns / heads,
    positionsOf: 'self',
    columns: 'features',
    rowOf: (run, position) => run.row(position),
    keysOf: () => 0,
  };
}
