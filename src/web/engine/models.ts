// Opens a model from wherever the user has it, and says what it is.

import { NoticeError } from '../../errors.ts';
import { loadModel, Processor } from '../../models/index.ts';
import { openGpu } from '../../platform/browser/adapter.ts';
import { filesFolder, httpFolder, type ModelSource } from '../../weights/index.ts';
import type { LoadProgress, ModelChoice, ModelInfo, OpenSpec } from '../protocol/session.ts';
import { deviceInfo, modelInfo } from './model-info.ts';
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
  const info = { ...modelInfo(model, { model: choice, dtype }), device: deviceInfo(gpu) };
  session.useModel({ model, processor, source, info });
  return info;
}

function sourceOf(choice: ModelChoice): ModelSource {
  if (choice.kind === 'embedded') return httpFolder(pageFile(`models/${choice.name}`));
  if (choice.kind === 'folder') return filesFolder(choice.files, choice.name);
  throw new NoticeError('usage', `${choice.id}: models of the hub cannot be opened yet`);
}
