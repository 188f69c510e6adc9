// Where Fresco's checkpoint keeps the modules of its blocks.

import type { BlockPlace } from '../../../src/families.ts';
import type { FrescoConfig } from './config.ts';

export function visionBlocks({ vision }: FrescoConfig): BlockPlace {
  return {
    config: vision.tower,
    path: (layer) => `vision.layers.${layer}`,
    names: {
      attention: { queryKeyValue: 'qkv', output: 'out', norm: 'norm1' },
      mlp: { input: 'fc1', output: 'fc2', norm: 'norm2' },
    },
  };
}

export function languageBlocks({ language }: FrescoConfig): BlockPlace {
  return {
    config: language.tower,
    path: (layer) => `decoder.layers.${layer}`,
    names: {
      attention: { queryKeyValue: ['self.q', 'self.k', 'self.v'], output: 'self.o', norm: 'norm1' },
      cross: { queryKeyValue: ['cross.q', 'cross.k', 'cross.v'], output: 'cross.o', norm: 'norm2' },
      mlp: { input: 'gate', linear: 'up', output: 'down', norm: 'norm3' },
    },
  };
}
