// Asks a model the embedded pairs, some at a time, as an experiment does before it patches.

import { askPairs } from '../../notice/experiment/answers.ts';
import type { ImageReader } from '../../notice/experiment/images.ts';
import { browserDecoder } from '../../platform/browser/image-decoder.ts';
import type { EmbeddedPair } from '../protocol/embedded.ts';
import type { UsablePair } from '../protocol/session.ts';
import { fetchPageFile } from './page-files.ts';
import type { Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

/** Pairs asked together. */
const TOGETHER = 8;

/** Tells after every few pairs which of them the model answers with the correct, then with the incorrect option. */
export async function usablePairs(
  { opened: { model, processor } }: Session,
  pairs: readonly EmbeddedPair[],
  { signal, emit }: TaskContext<readonly UsablePair[]>,
): Promise<void> {
  const reader: ImageReader = {
    read: async (path) => new Uint8Array(await (await fetchPageFile(`data/${path}`, signal)).arrayBuffer()),
    decode: browserDecoder,
  };
  for (let at = 0; at < pairs.length; at += TOGETHER) {
    const some = pairs.slice(at, at + TOGETHER);
    const questions = some.map(({ clean, corrupt, question, corruptQuestion, ...pair }) => ({
      pair: {
        ...pair,
        cleanImage: clean,
        corruptImage: corrupt,
        cleanPrompt: question,
        corruptPrompt: corruptQuestion,
      },
    }));
    const found = await askPairs(model, processor, reader, questions);
    signal.throwIfAborted();
    emit(
      found.map((evaluation, i) => ({
        id: (some[i] as EmbeddedPair).id,
        usable: 'cleanCorrect' in evaluation && evaluation.cleanCorrect && evaluation.corruptIncorrect,
      })),
    );
  }
}
