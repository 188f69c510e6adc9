// Prepares a pair: what the model reads in its clean and its corrupt runs, which token plays which part, and what it
// answers to each.

import type { RgbImage, TokenSpan } from '../../inputs/index.ts';
import { answerTokenIds, inCaseOf, optionTokens, promptRoles } from '../../inputs/index.ts';
import type { Processor, Sample, VisionLanguageModel } from '../../models/index.ts';
import { textProblem } from '../../notice/datasets/str.ts';
import { drawNoise, embeddingDeviation } from '../../notice/experiment/noise.ts';
import { add, generateWithHooks, type Intervention, type PatchPair } from '../../patching/index.ts';
import { browserDecoder } from '../../platform/browser/image-decoder.ts';
import type {
  CorruptionName,
  PairInfo,
  PairSpec,
  Picture,
  PromptToken,
  RunAnswer,
} from '../protocol/session.ts';
import { fetchPageFile } from './page-files.ts';
import type { Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

/** A corrupt run before anything is patched in it. */
export type CorruptRun = Pick<PatchPair, 'corrupt' | 'noise'>;

export interface SessionPair {
  readonly info: PairInfo;
  readonly clean: Sample;
  readonly corrupt: Readonly<Partial<Record<CorruptionName, CorruptRun>>>;
}

/** The longest answer that is asked for here; options are short. */
const MAX_NEW_TOKENS = 12;
const TOP = 5;

/** The runs of a pair as a sweep takes them; undefined if it has no such corruption. */
export function runsOf(
  { info: { correct, incorrect }, clean, corrupt }: SessionPair,
  name: CorruptionName,
): PatchPair | undefined {
  const run = corrupt[name];
  return run && { clean, correct, incorrect, ...run };
}

/** What makes the corrupt run of its sample, beside the sample itself. */
export function corruptingEdits({ noise }: CorruptRun, run?: number): Intervention[] {
  return noise ? [add({ hook: noise.hook, run }, { values: noise.values })] : [];
}

/** @throws NoticeError('image') for a picture, NoticeError('text') for a question that cannot be used */
export async function preparePair(
  session: Session,
  spec: PairSpec,
  { signal }: TaskContext<never>,
): Promise<PairInfo> {
  const { model, processor } = session.opened;
  const { question, correct, incorrect, corruptQuestion = question } = spec;
  const picture = await readPicture(spec.clean, signal);
  const clean = processor.sample(picture.image, question, picture.name);
  const prompt = processor.prompt(question, clean.images);
  const problem = textProblem(
    { cleanPrompt: question, corruptPrompt: corruptQuestion, correct, incorrect },
    (text) => processor.encode(text),
  );
  const roles = promptRoles(prompt.encoded, spec, processor.imageTokens);
  const other = await corruptPicture(model, processor, spec, clean, signal);
  const text = problem ? undefined : { corrupt: processor.sample(clean.images, corruptQuestion) };
  const corrupt = { image: other.run, ...(text ? { text } : {}) };

  const [cleanAnswer, imageAnswer, textAnswer] = await answers(
    model,
    [{ corrupt: clean }, other.run, ...(text ? [text] : [])],
    signal,
  );
  if (!cleanAnswer || !imageAnswer) throw new Error('a run gave no answer');
  const said = processor.answer(cleanAnswer.ids);
  const [correctId, incorrectId] = answerTokenIds(
    processor.tokenizer,
    { correct: inCaseOf(correct, said), incorrect: inCaseOf(incorrect, said) },
    { after: processor.answerContext },
  );
  const answer = (run: Answered) => runAnswer(processor, run, correctId, incorrectId);
  const span = optionTokens(prompt.encoded, spec).correct;
  const info: PairInfo = {
    spec,
    correct: correctId,
    incorrect: incorrectId,
    clean: answer(cleanAnswer),
    corrupt: { image: answer(imageAnswer), ...(textAnswer ? { text: answer(textAnswer) } : {}) },
    textProblem: problem?.detail,
    tokens: prompt.encoded.tokens.map(
      (token, i): PromptToken => ({
        position: prompt.positions[i] as number,
        text: token,
        role: roles[i] ?? 'rest',
      }),
    ),
    length: prompt.ids.length,
    answerPositions: positionsOf(prompt.positions, span),
    pictures: { clean: picture.file, corrupt: other.file },
  };
  signal.throwIfAborted();
  session.usePair({ info, clean, corrupt });
  return info;
}

function positionsOf(positions: readonly number[], { start, end }: TokenSpan): readonly number[] {
  return positions.slice(start, end);
}

interface ReadPicture {
  readonly name: string;
  readonly file: Blob;
  readonly image: RgbImage;
}

async function readPicture(picture: Picture, signal: AbortSignal): Promise<ReadPicture> {
  const name = picture.kind === 'embedded' ? picture.path : picture.name;
  const file =
    picture.kind === 'embedded' ? await fetchPageFile(`data/${picture.path}`, signal) : picture.file;
  return { name, file, image: await browserDecoder(new Uint8Array(await file.arrayBuffer()), name) };
}

/** The corrupt run whose picture is another, and the picture as it is shown, if it can be. */
async function corruptPicture(
  model: VisionLanguageModel,
  processor: Processor,
  { image: corruption, question }: PairSpec,
  clean: Sample,
  signal: AbortSignal,
): Promise<{ readonly run: CorruptRun; readonly file: Blob | undefined }> {
  if (corruption.kind === 'picture') {
    const { image, name, file } = await readPicture(corruption.picture, signal);
    return { run: { corrupt: processor.sample(image, question, name) }, file };
  }
  const deviation = await embeddingDeviation(model, [[clean]]);
  const values = drawNoise(model, clean, corruption.scale * deviation, String(corruption.seed));
  return { run: { corrupt: clean, noise: { hook: model.imageEmbedding, values } }, file: undefined };
}

interface Answered {
  readonly ids: readonly number[];
  /** Of the answer's first token. */
  readonly logits: Float32Array;
}

/** What the model generates in each run, and the logits of its first step. */
async function answers(
  model: VisionLanguageModel,
  runs: readonly CorruptRun[],
  signal: AbortSignal,
): Promise<Answered[]> {
  const generated = await generateWithHooks(
    model,
    runs.map(({ corrupt }) => corrupt),
    {
      interventions: runs.flatMap((run, i) => corruptingEdits(run, i)),
      maxNewTokens: MAX_NEW_TOKENS,
      keepLogits: true,
      signal,
    },
  );
  return generated.map(({ ids, logits }) => ({ ids, logits: logits[0] ?? new Float32Array() }));
}

function runAnswer(
  processor: Processor,
  { ids, logits }: Answered,
  correct: number,
  incorrect: number,
): RunAnswer {
  const p = softmax(logits);
  const order = Array.from(p.keys()).sort((a, b) => (p[b] as number) - (p[a] as number));
  return {
    answer: processor.answer(ids),
    pCorrect: p[correct] as number,
    pIncorrect: p[incorrect] as number,
    logitDifference: (logits[correct] as number) - (logits[incorrect] as number),
    top: order
      .slice(0, TOP)
      .map((id) => ({ token: processor.tokenizer.idToToken(id) ?? `#${id}`, p: p[id] as number })),
  };
}

function softmax(logits: Float32Array): Float64Array {
  const most = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
