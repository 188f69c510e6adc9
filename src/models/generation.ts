// Token by token: what every decoder's generation loop shares.

import type { Gpu, Tensor } from '../gpu/index.ts';
import type { Generated, GenerateOptions } from './model.ts';
import type { KeyValueCache, TowerConfig } from './tower/index.ts';

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

/**
 * Generates until every sequence has stopped.
 *
 * @param first logits of the first new token, one row per sequence
 * @param next takes the tokens just chosen and their step (1 for the second new token) to the next logits
 */
export async function generateTokens(
  gpu: Gpu,
  sequences: number,
  stopTokens: ReadonlySet<number>,
  { maxNewTokens = 20, sample = argmax, onToken, keepLogits }: GenerateOptions,
  first: Tensor,
  next: (tokens: readonly number[], step: number) => Promise<Tensor>,
): Promise<Generated[]> {
  const answers = Array.from({ length: sequences }, () => ({
    ids: [] as number[],
    logits: [] as Float32Array[],
    stopped: false,
  }));
  let logits = first;
  for (let step = 0; step < maxNewTokens; step++) {
    const [values] = await gpu.read(logits);
    const tokens = answers.map((answer, i) => {
      const row = (values as Float32Array).subarray(i * logits.columns, (i + 1) * logits.columns);
      const token = sample(row);
      if (answer.stopped) return token;
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
  return answers;
}
