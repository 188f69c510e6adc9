// Token by token: what every decoder's generation loop shares.

import { checkFunctions, checkSignal, checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { Gpu, Tensor, Work } from '../gpu/index.ts';
import { type Generated, type GenerateOptions, ModelRun, type Sample } from './model.ts';
import { type SampleInput, samplesOf } from './sample.ts';
import { checkLength, sequenceIn } from './sequences.ts';
import { type KeyValueCache, NO_PROBE, type Probe, Sequence, type TowerConfig } from './tower/index.ts';

const MAX_NEW_TOKENS = 20;

/** Index of the largest logit, the first of equals: greedy decoding. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] as number) > (logits[best] as number)) best = i;
  return best;
}

/** An empty cache for some sequences of up to `capacity` positions each. */
function keyValueCache(
  w: Work,
  { layers, keyHeads, headSize, name }: TowerConfig,
  sequences: number,
  capacity: number,
): KeyValueCache {
  const tensors: Tensor[] = Array.from({ length: layers }, (_, layer) =>
    w.empty(sequences * capacity, 2 * keyHeads * headSize, `${name} block ${layer} keys and values`),
  );
  return { layers: tensors, capacity };
}

/** How a model answers, a token at a time. */
export interface Answering {
  /** The tower that writes the answer. */
  readonly config: TowerConfig;
  readonly stopTokens: readonly number[];
  readonly maxPositions: number;
  /** Positions of that tower before the answer's first. */
  promptLength(sample: Sample): number;
  /** Reads the prompts. */
  start(w: Work, runs: readonly ModelRun[], probe: Probe, cache: KeyValueCache): Promise<AnswerSteps>;
}

/** Answers in the making. Logits have one row per run. */
export interface AnswerSteps {
  /** Of the first new token. */
  readonly logits: Tensor;
  /** Reads one more token of each run; the tower's runs have it as their last position. */
  next(tokens: readonly number[]): Promise<Tensor>;
}

/**
 * Answers, in as few groups as memory allows, each a work of its own; one group where somebody looks on.
 *
 * @throws NoticeError('text') if prompt and answer may become longer than the model reads, ('usage') for a token that does
 *   not exist
 */
export async function generateAnswers(
  gpu: Gpu,
  given: readonly SampleInput[],
  options: GenerateOptions,
  answering: Answering,
): Promise<Generated[]> {
  const { config, stopTokens, maxPositions, promptLength, start } = answering;
  const { maxNewTokens = MAX_NEW_TOKENS, sample, onToken, signal } = options;
  const samples = samplesOf(given);
  checkSignal(signal);
  checkWhole(maxNewTokens, 'maxNewTokens', { from: 1 });
  checkFunctions({ sample, onToken });
  // The last new token is not read again.
  const capacity = Math.max(0, ...samples.map(promptLength)) + maxNewTokens - 1;
  checkLength(capacity, maxPositions);
  const size = options.probe
    ? samples.length
    : await answersAtOnce(gpu, samples, answering, capacity, signal);
  const stop = new Set(stopTokens);
  const answers: Generated[] = [];
  for (let first = 0; first < samples.length; first += size) {
    const runs = samples.slice(first, first + size).map((prompt) => new ModelRun(prompt));
    const groupOptions: GenerateOptions = {
      ...options,
      ...(sample && { sample: (logits, i) => sample(logits, first + i) }),
      ...(onToken && { onToken: (token, i) => onToken(token, first + i) }),
    };
    const generated = await gpu.work(
      async (w) => {
        const probe = options.probe?.(w, runs) ?? NO_PROBE;
        const steps = await start(w, runs, probe, keyValueCache(w, config, runs.length, capacity));
        return generateTokens(w, runs.length, stop, groupOptions, steps.logits, (tokens, step) => {
          runs.forEach((run, i) => {
            const { memory } = sequenceIn(run, config.name);
            const longer = new Sequence(promptLength(run.sample) + step, { memory });
            longer.rows[longer.length - 1] = i;
            run.towers.set(config.name, longer);
          });
          return steps.next(tokens);
        });
      },
      { signal },
    );
    answers.push(...generated);
  }
  return answers;
}

/** How many answers fit the memory budget together, going by what the longest prompt takes: at least one. */
export async function answersAtOnce(
  gpu: Gpu,
  samples: readonly Sample[],
  { config, start }: Pick<Answering, 'config' | 'start'>,
  capacity: number,
  signal?: AbortSignal,
): Promise<number> {
  if (samples.length === 0) return 1;
  const longest = samples.reduce((a, b) => (b.ids.length > a.ids.length ? b : a));
  const alone = (w: Work) =>
    start(w, [new ModelRun(longest)], NO_PROBE, keyValueCache(w, config, 1, capacity));
  if (samples.length === 1) {
    await gpu.ahead(config, alone);
    return 1;
  }
  const { peakBytes, largestBytes } = await gpu.count(alone, { signal });
  const { room } = gpu;
  return Math.max(1, Math.floor(Math.min(room.bytes / peakBytes, room.largestBytes / largestBytes)));
}

/**
 * Generates until every sequence has stopped. One that has stopped goes on being computed with the others, unheeded.
 *
 * @param first logits of the first new token, one row per sequence
 * @param next takes the tokens just chosen and their step (1 for the second new token) to the next logits
 */
async function generateTokens(
  w: Work,
  sequences: number,
  stopTokens: ReadonlySet<number>,
  { maxNewTokens = MAX_NEW_TOKENS, sample = argmax, onToken, onEnd, keepLogits }: GenerateOptions,
  first: Tensor,
  next: (tokens: readonly number[], step: number) => Promise<Tensor>,
): Promise<Generated[]> {
  const answers = Array.from({ length: sequences }, () => ({
    ids: [] as number[],
    logits: [] as Float32Array[],
    stopped: false,
  }));
  let logits = first;
  let tokens: readonly number[] = [];
  for (let step = 0; step < maxNewTokens; step++) {
    const [values] = await w.read(logits);
    tokens = answers.map((answer, i) => {
      if (answer.stopped) return tokens[i] as number;
      const row = (values as Float32Array).subarray(i * logits.columns, (i + 1) * logits.columns);
      if (!row.every(Number.isFinite))
        throw new NoticeError('not-finite', `the logits of the answer's token ${step} are not finite`);
      const token = sample(row, i);
      checkWhole(token, 'the token that sample() chose', { to: logits.columns - 1 });
      if (keepLogits) answer.logits.push(row.slice());
      answer.stopped = stopTokens.has(token);
      if (!answer.stopped) {
        answer.ids.push(token);
        onToken?.(token, i);
      }
      return token;
    });
    if (step + 1 === maxNewTokens || answers.every((answer) => answer.stopped)) break;
    w.release(logits);
    logits = await next(tokens, step + 1);
  }
  await onEnd?.();
  return answers;
}
