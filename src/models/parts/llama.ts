// LLaMA and what follows it (Mistral, Qwen2, Qwen3): RMSNorm, rotary positions, grouped key heads, gated MLP.

import type { Tensor, Work } from '../../gpu/index.ts';
import { activate, embedTokens, gatherRows, type NormWeights, type Weight } from '../../kernels/index.ts';
import type { Checkpoint, WeightLoader } from '../../weights/index.ts';
import { type Head, headInput, headLogits } from '../head.ts';
import type { HookInfo } from '../hook-table.ts';
import type { ModelRun, Sample } from '../model.ts';
import { lastPositions, placesOf, sequenceIn, sequencesIn } from '../sequences.ts';
import {
  type BlockWeights,
  type KeyRange,
  type Mask,
  maskOf,
  passPoint,
  rotaryAngles,
  Tower,
  type Walk,
  withBlocks,
} from '../tower/index.ts';
import { prefixOf, rmsNorm } from '../weight-maps.ts';
import { type BlockPlace, blockHooks, loadBlocks } from './block.ts';
import { LLAMA_BLOCK, type LlamaSettings } from './llama-settings.ts';

export interface LlamaWeights {
  readonly tokens: Weight;
  readonly blocks: readonly BlockWeights[];
  readonly norm: NormWeights;
  readonly head: Weight;
}

/** Paths are found by tensors that must be there, since releases of transformers differ in them. */
export async function loadLlama(
  loader: WeightLoader,
  checkpoint: Checkpoint,
  settings: LlamaSettings,
): Promise<LlamaWeights> {
  const { tower, eps, biases, vocabulary, tiedHead, unitNorms: unit = false } = settings;
  const prefix = prefixOf(checkpoint, 'embed_tokens.weight');
  const shape = { rows: vocabulary, columns: tower.width };
  const tokens = await loader.matrix(`${prefix}embed_tokens.weight`, shape);
  return {
    tokens,
    blocks: await loadBlocks(loader, blocksOf(settings, prefix), { eps, rms: unit ? 'unit' : true, biases }),
    norm: await rmsNorm(loader, `${prefix}norm`, tower.width, eps, { unit }),
    head: tiedHead
      ? tokens
      : await loader.matrix(`${prefixOf(checkpoint, 'lm_head.weight')}lm_head.weight`, shape),
  };
}

/**
 * Hook points from a prompt's first residual stream to the logits.
 *
 * @param path of the decoder's module in transformers
 * @param head of the module that makes logits of its output
 */
export function llamaHooks(settings: LlamaSettings, path: string, head: string): HookInfo[] {
  const { name, width } = settings.tower;
  return [
    { name: `${name}.hook_embed`, shape: ['position', width], module: `input of ${path}.layers.0` },
    ...blockHooks(blocksOf(settings, `${path}.`)),
    { name: `${name}.hook_out`, shape: ['position', width], module: `${path}.norm` },
    { name: 'logits_all', shape: ['position', settings.vocabulary], module: head },
    { name: 'logits', shape: [settings.vocabulary], module: `${head}, last position` },
  ];
}

function blocksOf(
  { tower: config, block = LLAMA_BLOCK, headNorms }: LlamaSettings,
  prefix: string,
): BlockPlace {
  const norms = headNorms && { queryNorm: 'self_attn.q_norm', keyNorm: 'self_attn.k_norm' };
  const names = { ...block, attention: { ...block.attention, ...norms } };
  return { config, path: (layer) => `${prefix}layers.${layer}`, names };
}

/** Positions of a prompt that see each other, also those behind them: features of an image, or the prompt before its answer. */
export interface Together {
  /** Ranges in order; the same array where prompts have the same. */
  blocks(sample: Sample): readonly KeyRange[];
  /** As for {@link withBlocks}. */
  readonly beyondWindow: boolean;
}

/** A LLaMA that reads a prompt and continues it. */
export class Llama {
  readonly settings: LlamaSettings;
  readonly tower: Tower;
  readonly blocks: readonly BlockWeights[];
  readonly head: Head;
  readonly #tokens: Weight;
  readonly #together: Together | undefined;

  constructor(settings: LlamaSettings, weights: LlamaWeights, together?: Together) {
    this.settings = settings;
    this.#together = together;
    this.tower = new Tower(settings.tower, weights.blocks);
    this.blocks = weights.blocks;
    const output = { weight: weights.head, bias: undefined };
    this.head = { norm: weights.norm, output, softcap: settings.logitSoftcap };
    this.#tokens = weights.tokens;
  }

  embed(w: Work, ids: readonly number[]): Tensor {
    const { embeddingScale: scale } = this.settings;
    const embedded = embedTokens(w, ids, this.#tokens);
    if (scale === undefined) return embedded;
    const scaled = activate(w, embedded, { scale });
    w.release(embedded);
    return scaled;
  }

  /**
   * From the first residual stream to the logits of every run's last positions.
   *
   * @param tokens how many positions; default the last one alone
   */
  async answer(
    w: Work,
    runs: readonly ModelRun[],
    embedded: Tensor,
    {
      probe,
      tokens,
      ...beside
    }: Pick<Walk, 'probe' | 'memory' | 'cache' | 'behind'> & { readonly tokens?: number | undefined },
  ): Promise<Tensor> {
    const { head } = this;
    const { tower, maxPositions, firstPlace = 0 } = this.settings;
    const { name } = tower;
    const sequences = sequencesIn(runs, name);
    const places = placesOf(runs, name);
    const rotary = rotaryAngles(
      w,
      tower,
      sequences,
      (run, position) => firstPlace + places(run, position),
      firstPlace + maxPositions,
    );
    const walk: Walk = { w, probe, runs: sequences, rotary, mask: this.#mask(runs), ...beside };
    const logits = () => replace(w, stream, headLogits(w, head, stream.x));
    const stream = { x: embedded };
    await passPoint(walk, `${name}.hook_embed`, stream, 'x');
    stream.x = await this.tower.walk(walk, stream.x);
    rotary.release();
    // Norm and head work on the rows of the last positions, unless somebody looks at others.
    const wantsAll = probe.wants('logits_all');
    const normalizesAll = wantsAll || probe.wants(`${name}.hook_out`);
    if (normalizesAll) {
      replace(w, stream, headInput(w, head, stream.x));
      await passPoint(walk, `${name}.hook_out`, stream, 'x');
    }
    if (wantsAll) {
      logits();
      for (const run of runs) run.towers.set('logits_all', sequenceIn(run, name));
      await passPoint(walk, 'logits_all', stream, 'x');
    }
    const rows = lastPositions(runs, name, tokens);
    replace(w, stream, gatherRows(w, stream.x, rows, w.empty(rows.length, stream.x.columns, 'answers')));
    if (!normalizesAll) replace(w, stream, headInput(w, head, stream.x));
    if (!wantsAll) logits();
    await passPoint(walk, 'logits', stream, 'x');
    return stream.x;
  }

  /** What the positions of the runs see, where the prompts decide. */
  #mask(runs: readonly ModelRun[]): Mask | undefined {
    const together = this.#together;
    if (!together) return undefined;
    const { tower } = this.settings;
    const owners = new Map(runs.map((run) => [sequenceIn(run, tower.name), run.sample]));
    return withBlocks(maskOf(tower), (run) => together.blocks(owners.get(run) as Sample), together);
  }
}

function replace(w: Work, stream: { x: Tensor }, x: Tensor): void {
  w.release(stream.x);
  stream.x = x;
}
