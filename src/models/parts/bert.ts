// BERT that attends to another tower in every block: BLIP's question encoder and answer decoder.

import type { Activation, NormWeights, Weight } from '../../kernels/index.ts';
import type { WeightLoader } from '../../weights/index.ts';
import type { HookInfo } from '../hook-table.ts';
import type { JsonConfig } from '../json-config.ts';
import type { BlockWeights, TowerConfig } from '../tower/index.ts';
import { layerNorm } from '../weight-maps.ts';
import { type BlockNames, blockHooks, loadBlocks } from './block.ts';
import { headSizes } from './sizes.ts';

export interface BertSettings {
  readonly tower: TowerConfig;
  readonly eps: number;
  readonly vocabulary: number;
  readonly maxPositions: number;
}

const ACTIVATIONS: readonly Activation[] = ['gelu', 'quick_gelu'];

const BLOCK: BlockNames = {
  attention: {
    queryKeyValue: ['attention.self.query', 'attention.self.key', 'attention.self.value'],
    output: 'attention.output.dense',
    norm: 'attention.output.LayerNorm',
  },
  cross: {
    queryKeyValue: ['crossattention.self.query', 'crossattention.self.key', 'crossattention.self.value'],
    output: 'crossattention.output.dense',
    norm: 'crossattention.output.LayerNorm',
  },
  mlp: { input: 'intermediate.dense', output: 'output.dense', norm: 'output.LayerNorm' },
};

/** @throws NoticeError('config') naming the field */
export function readBert(section: JsonConfig, name: string, causal: boolean): BertSettings {
  return {
    tower: {
      name,
      layers: section.layers('num_hidden_layers', 12),
      ...headSizes(section, { width: 768, heads: 8 }),
      mlpWidth: section.size('intermediate_size', 3072),
      activation: section.choice('hidden_act', ACTIVATIONS, 'gelu'),
      norm: 'after',
      causal,
      rotary: undefined,
    },
    eps: section.eps('layer_norm_eps', 1e-12),
    vocabulary: section.size('vocab_size', 30524),
    maxPositions: section.size('max_position_embeddings', 512),
  };
}

export interface BertWeights {
  readonly tokens: Weight;
  readonly positions: Weight;
  readonly norm: NormWeights;
  readonly blocks: readonly BlockWeights[];
}

/**
 * @param prefix path of the module, without a dot
 * @param memoryWidth of what it attends to
 */
export async function loadBert(
  loader: WeightLoader,
  prefix: string,
  { tower, eps, vocabulary, maxPositions }: BertSettings,
  memoryWidth: number,
): Promise<BertWeights> {
  const columns = tower.width;
  const embeddings = `${prefix}.embeddings`;
  // One kernel reads both tables, so they are of one type, whatever the file has.
  const [words, places] = [
    `${embeddings}.word_embeddings.weight`,
    `${embeddings}.position_embeddings.weight`,
  ];
  return {
    tokens: await loader.matrix(words, { rows: vocabulary, columns }, { like: [places] }),
    positions: await loader.matrix(places, { rows: maxPositions, columns }, { like: [words] }),
    norm: await layerNorm(loader, `${embeddings}.LayerNorm`, columns, eps),
    blocks: await loadBlocks(loader, blocksOf(tower, prefix), { eps, memoryWidth }),
  };
}

export function bertHooks({ tower }: BertSettings, prefix: string): HookInfo[] {
  return [
    { name: `${tower.name}.hook_embed`, shape: ['position', tower.width], module: `${prefix}.embeddings` },
    ...blockHooks(blocksOf(tower, prefix)),
  ];
}

function blocksOf(config: TowerConfig, prefix: string) {
  return { config, path: (layer: number) => `${prefix}.encoder.layer.${layer}`, names: BLOCK };
}
