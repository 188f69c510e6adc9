import { blockHooks, type HookInfo } from '../../../src/families.ts';
import type { FrescoConfig } from './config.ts';
import { languageBlocks, visionBlocks } from './names.ts';

export function frescoHooks(config: FrescoConfig): HookInfo[] {
  const { vision, language } = config;
  return [
    { name: 'vision.hook_embed', shape: ['position', vision.tower.width], module: 'vision.embeddings' },
    ...blockHooks(visionBlocks(config)),
    { name: 'vision.hook_out', shape: ['position', vision.tower.width], module: 'vision.norm' },
    { name: 'language.hook_embed', shape: ['position', language.tower.width], module: 'decoder.tokens' },
    ...blockHooks(languageBlocks(config)),
    { name: 'logits', shape: [language.vocabulary], module: 'decoder.tokens transposed, last position' },
  ];
}
