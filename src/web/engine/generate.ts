// A longer answer with and without what is pinned, and what that does to every token of the one without.

import { NoticeError } from '../../errors.ts';
import { promptRoles } from '../../inputs/index.ts';
import type { Sample } from '../../models/index.ts';
import { corruptionOf, generateWithHooks, type Intervention, scoreAnswer } from '../../patching/index.ts';
import { pinsThere } from '../pin-places.ts';
import type { AnswerPart, AnswerSpec, Answers } from '../protocol/reading.ts';
import { pinnedInterventions } from './interventions.ts';
import { runsOf } from './pair.ts';
import type { Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

/**
 * Both answers of the corrupt run, a token at a time. Pins at tokens of the pair's question are at the same parts of another.
 *
 * @throws NoticeError('data') if the pair has no such corruption, ('text') for a question without a part that is pinned; as
 *   `generateWithHooks`
 */
export async function generateAnswers(
  session: Session,
  spec: AnswerSpec,
  { signal, emit }: TaskContext<AnswerPart>,
): Promise<Answers> {
  const { model, processor } = session.opened;
  const { samples, corrupting, pinned } = await asked(session, spec, signal);
  const generate = async (run: AnswerPart['run'], interventions: readonly Intervention[]) => {
    const soFar: number[] = [];
    const generated = await generateWithHooks(model, samples, {
      interventions,
      maxNewTokens: spec.maxNewTokens,
      signal,
      onToken: (token, sequence) => {
        if (sequence !== CORRUPT) return;
        soFar.push(token);
        emit({ run, text: processor.answer(soFar) });
      },
    });
    return generated[CORRUPT]?.ids ?? [];
  };
  const plain = await generate('plain', corrupting);
  const patched = await generate('patched', [...corrupting, ...pinned]);
  const score = async (interventions: readonly Intervention[]) =>
    plain.length === 0
      ? []
      : ((await scoreAnswer(model, samples, plain, { interventions, signal }))[CORRUPT]?.logProbabilities ??
        []);
  const [without, withPins] = [await score(corrupting), await score([...corrupting, ...pinned])];
  return {
    plain: processor.answer(plain),
    patched: processor.answer(patched),
    tokens: plain.map((id, i) => ({
      text: processor.tokenizer.idToToken(id) ?? `#${id}`,
      plain: without[i] as number,
      patched: withPins[i] as number,
    })),
  };
}

/** Row of the batch [clean, corrupt]. */
const CORRUPT = 1;

/** What is run: the pair's own question, or another about its pictures. */
async function asked(
  { opened: { model, processor }, pair }: Session,
  { corruption, pins, question }: AnswerSpec,
  signal: AbortSignal,
): Promise<{
  readonly samples: readonly [clean: Sample, corrupt: Sample];
  readonly corrupting: readonly Intervention[];
  readonly pinned: readonly Intervention[];
}> {
  const runs = runsOf(pair, corruption);
  if (question === undefined) {
    const pinned = await pinnedInterventions(model, runs, pins, signal);
    return {
      samples: [pair.clean, runs.corrupt],
      corrupting: corruptionOf(model, runs, CORRUPT),
      pinned,
    };
  }
  const clean = processor.sample(pair.clean.images, question);
  const corrupt = processor.sample(runs.corrupt.images, question);
  const { encoded, positions } = processor.prompt(question, clean.images);
  const tokens = promptRoles(encoded, undefined, processor.imageTokens).map((role, i) => ({
    role,
    position: positions[i] as number,
  }));
  const moved = pinsThere(pins, pair.info.tokens, tokens, model.promptTower);
  if (!moved)
    throw new NoticeError(
      'text',
      'another question has no token like one that is pinned (an option, a word before the options): switch that pin off, ' +
        "or ask the pair's question",
    );
  return {
    samples: [clean, corrupt],
    corrupting: corruptionOf(model, { ...runs, corrupt }, CORRUPT),
    pinned: await pinnedInterventions(model, { clean, corrupt }, moved, signal),
  };
}
