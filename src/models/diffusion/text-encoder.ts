// The prompt's encoder, transformers' CLIPTextModel: tokens and positions, causal blocks, a norm. There is no mask: what
// fills a prompt up is read like its words.

import type { Tensor, Work } from '../../gpu/index.ts';
import { embedTokens, type NormWeights, normalize, type Weight } from '../../kernels/index.ts';
import type { Checkpoint, WeightLoader } from '../../weights/index.ts';
import type { HookInfo } from '../hook-table.ts';
import type { ModelRun } from '../model.ts';
import { type BlockPlace, blockHooks, loadBlocks } from '../parts/block.ts';
import { CLIP } from '../parts/vit.ts';
import { sequencesIn, tokenRuns } from '../sequences.ts';
import { type Probe, passPoint, Tower } from '../tower/index.ts';
import { layerNorm, prefixOf } from '../weight-maps.ts';
import type { TextEncoderConfig } from './config.ts';

function placeOf({ tower }: TextEncoderConfig, prefix: string): BlockPlace {
  return { config: tower, path: (layer) => `${prefix}encoder.layers.${layer}`, names: CLIP.block };
}

export function textHooks(config: TextEncoderConfig): HookInfo[] {
  const shape = ['position', config.tower.width];
  return [
    { name: 'text_encoder.hook_embed', shape, module: 'text_model.embeddings' },
    ...blockHooks(placeOf(config, 'text_model.')),
    { name: 'text_encoder.hook_out', shape, module: 'text_model.final_layer_norm' },
  ];
}

export class TextEncoder {
  readonly config: TextEncoderConfig;
  readonly #tokens: Weight;
  readonly #positions: Weight;
  readonly #tower: Tower;
  readonly #norm: NormWeights;

  private constructor(
    config: TextEncoderConfig,
    [tokens, positions]: readonly [Weight, Weight],
    tower: Tower,
    norm: NormWeights,
  ) {
    this.config = config;
    this.#tokens = tokens;
    this.#positions = positions;
    this.#tower = tower;
    this.#norm = norm;
  }

  /** @throws WeightsError */
  static async load(
    loader: WeightLoader,
    checkpoint: Checkpoint,
    config: TextEncoderConfig,
  ): Promise<TextEncoder> {
    // transformers 5 writes the names without `text_model.`
    const prefix = prefixOf(checkpoint, 'embeddings.token_embedding.weight');
    const { width } = config.tower;
    const names = ['token_embedding', 'position_embedding'].map(
      (name) => `${prefix}embeddings.${name}.weight`,
    );
    const [tokens, positions] = names as [string, string];
    const tables = [
      await loader.matrix(tokens, { rows: config.vocabulary, columns: width }, { like: names }),
      await loader.matrix(positions, { rows: config.positions, columns: width }, { like: names }),
    ] as const;
    const blocks = await loadBlocks(loader, placeOf(config, prefix), { eps: config.eps });
    const norm = await layerNorm(loader, `${prefix}final_layer_norm`, width, config.eps);
    return new TextEncoder(config, tables, new Tower(config.tower, blocks), norm);
  }

  /** Makes the runs' sequences, to which pixels attend. @returns what stands at each row */
  place(runs: readonly ModelRun[]): ReturnType<typeof tokenRuns> {
    return tokenRuns(runs, 'text_encoder');
  }

  /** @returns [runs · positions, width] */
  async encode(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    const live = this.place(runs);
    const ids = live.map(({ id }) => id);
    const places = live.map(({ place }) => place);
    const walk = { w, probe, runs: sequencesIn(runs, 'text_encoder') };
    const frame = { x: embedTokens(w, ids, this.#tokens, places, this.#positions) };
    await passPoint(walk, 'text_encoder.hook_embed', frame, 'x');
    const x = await this.#tower.walk(walk, frame.x);
    const out = { x: normalize(w, x, this.#norm) };
    w.release(x);
    await passPoint(walk, 'text_encoder.hook_out', out, 'x');
    return out.x;
  }
}
