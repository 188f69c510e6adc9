// Opens a model from wherever the user has it, and says what it is.

import { NoticeError } from '../../errors.ts';
import { loadModel, Processor, type VisionLanguageModel } from '../../models/index.ts';
import { paperConventions } from '../../notice/conventions.ts';
import { openGpu } from '../../platform/browser/adapter.ts';
import { filesFolder, httpFolder, type ModelSource } from '../../weights/index.ts';
import type {
  LoadProgress,
  ModelChoice,
  ModelInfo,
  OpenSpec,
  SiteInfo,
  TowerInfo,
} from '../protocol/session.ts';
import { pageFile } from './page-files.ts';
import type { Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

/** Opens a model in the place of the one before; on a new device where the old one is lost. */
export async function openModel(
  session: Session,
  { model: choice, dtype }: OpenSpec,
  { signal }: TaskContext<LoadProgress>,
): Promise<ModelInfo> {
  session.closeModel();
  if (!session.gpu) session.useGpu(await openGpu());
  const gpu = session.gpu;
  if (!gpu) throw new NoticeError('device-lost', 'the device was lost while it was opened');
  const source = sourceOf(choice);
  const model = await loadModel(gpu, source, { dtype, signal });
  const processor = await Processor.load(model, source);
  const info = modelInfo(model, { model: choice, dtype });
  session.useModel({ model, processor, source, info });
  return info;
}

function sourceOf(choice: ModelChoice): ModelSource {
  if (choice.kind === 'embedded') return httpFolder(pageFile(`models/${choice.name}`));
  if (choice.kind === 'folder') return filesFolder(choice.files, choice.name);
  throw new NoticeError('usage', `${choice.id}: models of the hub cannot be opened yet`);
}

function modelInfo(model: VisionLanguageModel, { model: choice, dtype }: OpenSpec): ModelInfo {
  const { moduleSites, headSite } = paperConventions(model);
  const { description, software, limits } = model.gpu.capabilities;
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
    device: {
      description,
      software,
      largestBuffer: Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize),
    },
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
