// Where the heads of an attention look on the image.

import { attentionToImage, type SampleAttention } from '../../patching/index.ts';
import type { AttentionSpec } from '../protocol/reading.ts';
import { batchRun } from './runs.ts';
import type { Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

/** Of all layers and heads. @throws NoticeError('hook') for an attention that does not see the image */
export async function readAttention(
  session: Session,
  { of, attention, from }: AttentionSpec,
  { signal }: TaskContext<never>,
): Promise<SampleAttention> {
  const { samples, row, interventions } = await batchRun(session, of, signal);
  const options = { attention, interventions, signal, ...(from.length > 0 && { from }) };
  return (await attentionToImage(session.model, samples, options))[row] as SampleAttention;
}
