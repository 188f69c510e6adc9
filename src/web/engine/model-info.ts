// What the page knows of an open model.

import type { Gpu } from '../../gpu/index.ts';
import type { VisionLanguageModel } from '../../models/index.ts';
import { paperConventions } from '../../notice/conventions.ts';
import type { DeviceInfo, ModelInfo, OpenSpec, SiteInfo, TowerInfo } from '../protocol/session.ts';

/** The device is left out where it is not the page's. */
export function modelInfo(model: VisionLanguageModel, { model: choice, dtype }: OpenSpec): ModelInfo {
  const { moduleSites, headSite } = paperConventions(model);
  return {
    name: choice.kind === 'hub' ? choice.id : choice.name,
    choice,
    family: model.family,
    dtype: dtype ?? 'as in the file',
    weightBytes: model.weightBytes,
    towers: model.configs.map((config): TowerInfo => {
      const { name, layers, heads, keyHeads, width } = config;
      return { name, layers, heads, keyHeads, width, sites: sitesOf(model, config) };
    }),
    promptTower: model.promptTower,
    moduleSites,
    headSite,
    imageAttention: model.imageAttention,
    answers: model.answers,
  };
}

/** Sites of a tower, in the order of computation. */
function sitesOf(
  model: VisionLanguageModel,
  { name, heads, keyHeads }: VisionLanguageModel['configs'][number],
): SiteInfo[] {
  const block = `${name}.blocks.0.`;
  return model.hooks
    .filter((hook) => hook.name.startsWith(block))
    .map((hook) => {
      const rest = hook.name.slice(block.length);
      const ofKeys = /hook_(rot_|normalized_)?[kv]$/.test(rest);
      const byHead = hook.shape.length === 3;
      const width = hook.shape.at(-1);
      return {
        site: `${name}.${rest}`,
        heads: byHead ? (ofKeys ? keyHeads : heads) : 0,
        width: typeof width === 'number' ? width : 0,
      };
    });
}

export function deviceInfo({ capabilities: { description, software, limits } }: Gpu): DeviceInfo {
  return {
    description,
    software,
    largestBuffer: Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize),
  };
}
