// Token by token: what every decoder's generation loop shares.

import { checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { Gpu, Tensor } from '../gpu/index.ts';
import { type Generated, type GenerateOptions, ModelRun, type Sample } from './model.ts';
import { checkLength, towerRun } from './sequences.ts';
import { type KeyValueCache, NO_PROBE, type Probe, Run, type TowerConfig } from './tower/index.ts';

const MAX_NEW_TOKENS = 20;

/** Index of the largest logit, the first of equals: greedy decoding. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] as number) > (logits[best] as number)) best = i;
  return best;
}

/** An empty cache for some sequences of up to `capacity` positions each. */
export function keyValueCache(
  gpu: Gpu,
  { layers, keyHeads, headSize, name }: TowerConfig,
  sequences: number,
  capacity: number,
): KeyValueCache {
  const tensors: Tensor[] = Array.from({ length: layers }, (_, layer) =>
    gpu.empty(sequences * capacity, 2 * keyHeads * headSize, `${name} block ${layer} keys and values`),
  );
  return { layers: tensors, capacity };
}

/** Share of the memory budget that keys and values of earlier positions may take. */
const CACHE_SHARE = 0.5;

/** How many sequences of `capacity` positions a device holds at once: at least one. */
export function sequencesAtOnce(
  { capabilities, pool }: Gpu,
  { layers, heads, keyHeads, headSize, mlpWidth }: TowerConfig,
  capacity: number,
): number {
  const { maxStorageBufferBindingSize, maxBufferSize } = capabilities.limits;
  const largestTensor = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  const widest = Math.max(mlpWidth, (heads + 2 * keyHeads) * headSize);
  const cacheBytes = layers * 4 * capacity * 2 * keyHeads * headSize;
  return Math.max(
    1,
    Math.floor(Math.min(largestTensor / (4 * capacity * widest), (CACHE_SHARE * pool.budget) / cacheBytes)),
  );
}

/** How a model that continues its prompt takes a step. Both give logits, one row per run. */
export interface Continuation {
  readonly stopTokens: readonly number[];
  readonly maxPositions: number;
  /** Reads the prompts. */
  start(runs: readonly ModelRun[], probe: Probe, cache: KeyValueCache): Promise<Tensor>;
  /** Reads one more token of each run; the tower's runs have it as their last position. */
  next(
    runs: readonly ModelRun[],
    tokens: readonly number[],
    probe: Probe,
    cache: KeyValueCache,
  ): Promise<Tensor>;
}

/**
 * Answers that continue their prompts, in as few groups as memory allows; one group where somebody looks on.
 *
 * @param config the tower that reads prompt and answer
 * @throws NoticeError('text') if prompt and answer may become longer than the model reads
 */
export async function continuePrompts(
  gpu: Gpu,
  config: TowerConfig,
  samples: readonly Sample[],
  options: GenerateOptions,
  { stopTokens, maxPositions, start, next }: Continuation,
): Promise<Generated[]> {
  const { maxNewTokens = MAX_NEW_TOKENS, sample, onToken } = options;
  checkWhole(maxNewTokens, 'maxNewTokens', { from: 1 });
  const runs = samples.map((prompt) => new ModelRun(prompt));
  const probe = options.probe?.(runs) ?? NO_PROBE;
  // The last new token is not read again.
  const capacity = Math.max(0, ...samples.map(({ ids }) => ids.length)) + maxNewTokens - 1;
  checkLength(capacity, maxPositions);
  const size = options.probe ? runs.length : sequencesAtOnce(gpu, config, capacity);
  const stop = new Set(stopTokens);
  const answers: Generated[] = [];
  for (let first = 0; first < runs.length; first += size) {
    const group = runs.slice(first, first + size);
    const groupOptions: GenerateOptions = {
      ...options,
      ...(sample && { sample: (logits, i) => sample(logits, first + i) }),
      ...(onToken && { onToken: (token, i) => onToken(token, first + i) }),
    };
    const generated = await gpu.scope(async () => {
      const cache = keyValueCache(gpu, config, group.length, capacity);
      const logits = await start(group, probe, cache);
      return generateTokens(gpu, group.length, stop, groupOptions, logits, (tokens, step) => {
        group.forEach((run, i) => {
          const { memory } = towerRun(run, config.name);
          const longer = new Run(run.sample.ids.length + step, { memory });
          longer.rows[longer.length - 1] = i;
          run.towers.set(config.name, longer);
        });
        return next(group, tokens, probe, cache);
      });
    });
    answers.push(...generated);
  }
  return answers;
}

/**
 * Generates until every sequence has stopped. One that has stopped goes on being computed with the others, unheeded.
 *
 * @param first logits of the first new token, one row per sequence
 * @param next takes the tokens just chosen and their step (1 for the second new token) to the next logits
 */
export async function generateTokens(
  gpu: Gpu,
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
    const [values] = await gpu.read(logits);
    tokens = answers.map((answer, i) => {
      if (answer.stopped) return tokens[i] as number;
      const row = (values as Float32Array).subarray(i * logits.columns, (i + 1) * logits.columns);
      if (!row.every(Number.isFinite))
        throw new NoticeError('not-finite', `the logits of the answer's token ${step} are not finite`);
      const token = sample(row, i);
      if (keepLogits) answer.logits.push(row.slice());
      answer.stopped = stopTokens.has(token);
      if (!answer.stopped) {
        answer.ids.push(token);
        onToken?.(token, i);
      }
      return token;
    });
    if (step + 1 === maxNewTokens || answers.every((answer) => answer.stopped)) break;
    gpu.release(logits);
    logits = await next(tokens, step + 1);
  }
  await onEnd?.();
  return answers;
}
