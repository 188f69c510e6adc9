// Opens a model, and says before what it would take.

import { NoticeError } from '../../errors.ts';
import type { Gpu } from '../../gpu/index.ts';
import { type LoadProgress, loadModel, Processor, weightPlans } from '../../models/index.ts';
import { openGpu } from '../../platform/browser/adapter.ts';
import type { ModelChoice, ModelInfo, ModelPlan, OpenSpec } from '../protocol/session.ts';
import { sourceOf } from './model-files.ts';
import { deviceInfo, modelInfo } from './model-info.ts';
import type { Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

/** Opens a model in the place of the one before; on a new device where the old one is lost. */
export async function openModel(
  session: Session,
  { model: choice, dtype }: OpenSpec,
  { signal, emit }: TaskContext<LoadProgress>,
): Promise<ModelInfo> {
  session.closeModel();
  const gpu = await deviceOf(session);
  const source = await sourceOf(choice, signal);
  const model = await loadModel(gpu, source, { dtype, signal, onProgress: emit });
  try {
    const processor = await Processor.load(model, source);
    signal.throwIfAborted();
    const info = { ...modelInfo(model, { model: withoutToken(choice), dtype }), device: deviceInfo(gpu) };
    session.useModel({ model, processor, source, info });
    return info;
  } catch (error) {
    model.destroy();
    throw error;
  }
}

/** What the weights of a model would take here; the open model stays open. */
export async function planWeights(
  session: Session,
  choice: ModelChoice,
  { signal }: TaskContext<never>,
): Promise<ModelPlan> {
  const gpu = await deviceOf(session);
  const plans = await weightPlans(gpu, await sourceOf(choice, signal), { signal });
  return {
    choice,
    limit: deviceInfo(gpu).largestBuffer,
    rows: plans.map(({ dtype, plan: { bytes, largest } }) => ({ dtype, bytes, largest })),
  };
}

async function deviceOf(session: Session): Promise<Gpu> {
  if (!session.gpu) session.useGpu(await openGpu());
  if (!session.gpu) throw new NoticeError('device-lost', 'the device was lost while it was opened');
  return session.gpu;
}

/** What the page keeps of a choice, shows and puts into links. */
function withoutToken(choice: ModelChoice): ModelChoice {
  if (choice.kind !== 'hub') return choice;
  const { token: _, ...rest } = choice;
  return rest;
}
