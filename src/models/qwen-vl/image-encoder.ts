// Images to features in the language model's width: packed patches through the vision tower, then blocks of them as one.

import type { Tensor, Work } from '../../gpu/index.ts';
import { addPositions, type Corners, gatherRows, matmul, normalize } from '../../kernels/index.ts';
import { followingRuns } from '../feature-runs.ts';
import type { ModelRun } from '../model.ts';
import { project } from '../parts/projector.ts';
import { sequenceIn, sequencesIn } from '../sequences.ts';
import {
  blockMask,
  gridPlace,
  type Probe,
  passPoint,
  rotaryAngles,
  type Sequence,
  Tower,
  type Walk,
} from '../tower/index.ts';
import type { QwenConfig } from './config.ts';
import { cellAt, type Layout } from './layout.ts';
import { bySequence, type Layouts, mergedRuns, packedRuns, pixelRows, reorder } from './packed-runs.ts';
import type { Merger, QwenWeights } from './weights.ts';

/** Features that the language model reads, and what each run has of them. */
export interface Features {
  readonly tensor: Tensor;
  readonly runs: ReadonlyMap<ModelRun, Sequence>;
}

export class ImageEncoder {
  readonly #config: QwenConfig;
  readonly #weights: QwenWeights;
  readonly #tower: Tower;

  constructor(config: QwenConfig, weights: QwenWeights) {
    this.#config = config;
    this.#weights = weights;
    this.#tower = new Tower(config.vision.tower, weights.blocks);
  }

  /**
   * Computes the features of the runs' images, in the order of the prompt's image tokens.
   *
   * @returns those of the prompt, then those of DeepStack, in the order of the blocks that they are added behind
   */
  async encode(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Features[]> {
    const { tower, deepstack, window, merge } = this.#config.vision;
    const layouts = packedRuns(runs, this.#config.vision);
    const frame = { x: await this.#embed(w, runs, probe, layouts) };
    if (window !== undefined) windowOrder(runs, layouts, merge);
    const walk = this.#walk(w, runs, probe, layouts);
    const stacked: Features[] = [];
    let from = 0;
    for (const [j, block] of deepstack.entries()) {
      frame.x = await this.#tower.walk(walk, frame.x, from, block + 1);
      from = block + 1;
      stacked.push(await this.#deepstack(w, runs, probe, j, frame.x));
    }
    frame.x = await this.#tower.walk(walk, frame.x, from, tower.layers);
    walk.rotary.release();
    const features = await this.#merge(w, runs, probe, frame.x);
    if (window !== undefined) rasterOrder(runs, layouts);
    return [{ tensor: features, runs: runsIn(runs, 'projector') }, ...stacked];
  }

  /** Patches to the residual stream, in the order of pixel_values. */
  async #embed(w: Work, runs: readonly ModelRun[], probe: Probe, layouts: Layouts): Promise<Tensor> {
    const { patches, positions } = this.#weights;
    const walk = { w, probe, runs: sequencesIn(runs, 'vision') };
    const pixels = pixelRows(w, probe, layouts, this.#config.vision.patchValues);
    const frame = { x: matmul(w, pixels, patches.weight, { bias: patches.bias }) };
    w.release(pixels);
    if (positions) {
      await passPoint(walk, 'vision.hook_patches', frame, 'x');
      const { x } = frame;
      frame.x = addPositions(w, x, positions, this.#corners(bySequence(runs, 'vision', layouts), x.rows));
      w.release(x);
    }
    await passPoint(walk, 'vision.hook_embed', frame, 'x');
    return frame.x;
  }

  /** The four learned positions around each row's patch: the corners of the image have those of the grid. */
  #corners(layouts: ReadonlyMap<Sequence, Layout>, rows: number): Corners[] {
    const side = this.#config.vision.positions as number;
    const corners = new Array<Corners>(rows);
    const between = (at: number, count: number) => {
      const exact = count > 1 ? Math.fround((at * (side - 1)) / (count - 1)) : 0;
      const first = Math.floor(exact);
      const share = exact - first;
      return [
        { at: first, share: 1 - share },
        { at: Math.min(first + 1, side - 1), share },
      ];
    };
    for (const [run, { cells }] of layouts) {
      for (const position of run.ownPositions) {
        const { row, column, grid } = cells[position] as Layout['cells'][number];
        const across = between(column, grid.columns);
        corners[run.rows[position] as number] = between(row, grid.rows).flatMap((y) =>
          across.map((x) => [y.at * side + x.at, y.share * x.share] as const),
        );
      }
    }
    return corners;
  }

  #walk(w: Work, runs: readonly ModelRun[], probe: Probe, layouts: Layouts) {
    const { tower, fullBlocks, merge } = this.#config.vision;
    const sequences = sequencesIn(runs, 'vision');
    const known = bySequence(runs, 'vision', layouts);
    const place = (run: Sequence, position: number) => {
      const { row, column } = cellAt(known.get(run) as Layout, position, merge);
      return gridPlace(0, row, column);
    };
    const mask = blockMask((run, layer) => {
      const { windows, whole } = known.get(run) as Layout;
      return windows && !fullBlocks.includes(layer) ? windows.ranges : whole;
    });
    return {
      w,
      probe,
      runs: sequences,
      mask,
      rotary: rotaryAngles(w, tower, sequences, place),
    } satisfies Walk;
  }

  /** What the language model adds behind its j-th block; the tower goes on with `x`. */
  async #deepstack(
    w: Work,
    runs: readonly ModelRun[],
    probe: Probe,
    j: number,
    x: Tensor,
  ): Promise<Features> {
    const merger = this.#weights.deepstack[j] as Merger;
    followingRuns(runs, 'vision', 'deepstack');
    const blocks = this.#blocks(w, runs, 'deepstack', x);
    const frame = { x: normalize(w, blocks, merger.norm) };
    w.release(blocks);
    const walk = { w, probe, runs: sequencesIn(runs, 'deepstack') };
    await passPoint(walk, `deepstack.${j}.hook_normalized`, frame, 'x');
    const tensor = await project(walk, `deepstack.${j}`, frame.x, merger, 'gelu');
    return { tensor, runs: runsIn(runs, 'deepstack') };
  }

  /** The features among the prompt's tokens; `x` is used up. */
  async #merge(w: Work, runs: readonly ModelRun[], probe: Probe, x: Tensor): Promise<Tensor> {
    const { merger } = this.#weights;
    followingRuns(runs, 'vision', 'projector');
    const frame = { x: normalize(w, x, merger.norm) };
    w.release(x);
    const patches = { w, probe, runs: sequencesIn(runs, 'projector') };
    await passPoint(patches, 'projector.hook_normalized', frame, 'x');
    const blocks = this.#blocks(w, runs, 'projector', frame.x);
    w.release(frame.x);
    return project({ w, probe, runs: sequencesIn(runs, 'projector') }, 'projector', blocks, merger, 'gelu');
  }

  /** Blocks of patches as one row each: [rows, merge² · width]; their runs take the place of the patches'. */
  #blocks(w: Work, runs: readonly ModelRun[], tower: string, x: Tensor): Tensor {
    const size = this.#config.vision.merge ** 2;
    const rows = mergedRuns(runs, tower, size);
    const blocks = gatherRows(w, x, rows, w.empty(rows.length, x.columns, 'blocks of patches'));
    return { ...blocks, rows: rows.length / size, columns: size * x.columns, stride: size * x.columns };
  }
}

function runsIn(runs: readonly ModelRun[], tower: string): Map<ModelRun, Sequence> {
  return new Map(runs.map((run) => [run, sequenceIn(run, tower)]));
}

/** From here on the tower has the patches window by window. */
function windowOrder(runs: readonly ModelRun[], layouts: Layouts, merge: number): void {
  const known = bySequence(runs, 'vision', layouts);
  reorder(runs, 'vision', merge ** 2, (run) => known.get(run)?.windows?.features ?? []);
}

/** The features as the prompt has them. */
function rasterOrder(runs: readonly ModelRun[], layouts: Layouts): void {
  const known = bySequence(runs, 'projector', layouts);
  reorder(runs, 'projector', 1, (run) => {
    const features = known.get(run)?.windows?.features ?? [];
    const at = new Uint32Array(features.length);
    features.forEach((feature, place) => {
      at[feature] = place;
    });
    return at;
  });
}
