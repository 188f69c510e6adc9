// What the residual stream says after each layer.

import { NoticeError } from '../../errors.ts';
import { answerTokens } from '../../inputs/index.ts';
import { patchGrids, type Sample } from '../../models/index.ts';
import { readableToken } from '../../notice/token-text.ts';
import { type LogitLens, logitLens } from '../../patching/index.ts';
import type { LensReading, LensSpec } from '../protocol/reading.ts';
import { batchRun } from './runs.ts';
import type { OpenModel, Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

/** @throws NoticeError('hook') for a tower without a head; ('text') for a token that there is not */
export async function readLens(
  session: Session,
  { of, tower, token: wanted }: LensSpec,
  { signal }: TaskContext<never>,
): Promise<LensReading> {
  const { model, processor } = session.opened;
  const { samples, row, interventions } = await batchRun(session, of, signal);
  const [token] =
    typeof wanted === 'number'
      ? [wanted]
      : answerTokens(processor.tokenizer, wanted, processor.answerContext);
  if (token === undefined) throw new NoticeError('text', `"${wanted}" has no token`);
  const lenses = await logitLens(model, samples, { tower, tokens: [token], interventions, signal });
  const lens = lenses[row] as LogitLens;
  const textOf = (id: number) => readableToken(processor.tokenizer.idToToken(id) ?? `#${id}`);
  return {
    lens,
    token,
    texts: new Map([token, ...lens.ids].map((id) => [id, textOf(id)])),
    ...places(session.opened, samples[row] as Sample, tower, lens.positions, textOf),
  };
}

/** What stands at each position: a token, or a feature of an image. */
function places(
  { model }: OpenModel,
  sample: Sample,
  tower: string,
  positions: readonly number[],
  textOf: (id: number) => string,
): Pick<LensReading, 'tokens' | 'grids'> {
  // A decoder of its own reads nothing but its start token.
  if (tower !== model.promptTower)
    return { tokens: positions.map((position) => ({ position, text: 'start' })), grids: [] };
  const { ids } = sample;
  const { imageToken } = model;
  const words = positions.filter((position) => ids[position] !== imageToken);
  return {
    tokens: words.map((position) => ({ position, text: textOf(ids[position] as number) })),
    grids: imageToken === undefined ? [] : patchGrids(model, sample),
  };
}
