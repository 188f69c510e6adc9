// From logits to the next token where it is drawn and not simply the largest. The steps and their order are those of
// transformers' logits processors: temperature, top-k, top-p.

import { checkPositive, checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import { type Random, seeded } from '../random.ts';

export interface SamplingOptions {
  /** Logits are divided by it: below 1 the likely become likelier. Default 1. */
  readonly temperature?: number;
  /** Only the k largest logits (and what equals the k-th) can be drawn. Default all. */
  readonly topK?: number;
  /** Only the fewest tokens whose probabilities add up to p can be drawn. Default 1, all. */
  readonly topP?: number;
}

/** A token that can be drawn. */
export interface Candidate {
  readonly token: number;
  readonly probability: number;
}

/**
 * What can be drawn, the likeliest first, equal ones by token; probabilities add up to 1. In f64.
 *
 * @param logits [vocabulary]
 * @throws NoticeError('usage') for an option out of range, ('not-finite') for logits that give no probabilities; −∞ is a
 *   probability of 0
 */
export function candidates(logits: Float32Array, options: SamplingOptions = {}): Candidate[] {
  const { temperature, topK, topP } = checked(options);
  // With a NaN among them numbers have no order.
  const odd = logits.findIndex((value) => !(value < Number.POSITIVE_INFINITY));
  if (odd >= 0)
    throw new NoticeError('not-finite', `the logit of token ${odd} is ${logits[odd]}: nothing can be drawn`);
  const order = Array.from(logits.keys()).sort((a, b) => logit(b) - logit(a) || a - b);
  const largest = logit(order[0] as number);
  if (!(largest > Number.NEGATIVE_INFINITY))
    throw new NoticeError('not-finite', `no logit is above −∞: nothing can be drawn`);
  const threshold = logit(order[Math.min(topK, order.length) - 1] as number);
  const kept = order
    .filter((token) => logit(token) >= threshold)
    .map((token) => ({ token, probability: Math.exp((logit(token) - largest) / temperature) }));
  const total = sum(kept);
  let before = 0;
  const nucleus = kept.filter(({ probability }) => {
    const keep = before < topP * total;
    before += probability;
    return keep;
  });
  const rest = sum(nucleus);
  return nucleus.map(({ token, probability }) => ({ token, probability: probability / rest }));

  function logit(token: number): number {
    return logits[token] as number;
  }
}

/**
 * The token at a point of the distribution.
 *
 * @param point in [0, 1); uniform points draw tokens with their probabilities
 */
export function tokenAt(logits: Float32Array, point: number, options: SamplingOptions = {}): number {
  let below = 0;
  const list = candidates(logits, options);
  const found = list.find(({ probability }) => {
    below += probability;
    return point < below;
  });
  // Rounding can leave the sum a little below 1.
  return (found ?? (list.at(-1) as Candidate)).token;
}

/**
 * Draws tokens, for `generate`'s option `sample`. Every sequence has a stream of its own, so that what is drawn for
 * it does not depend on the others.
 *
 * @param seed the same seed draws the same tokens
 * @throws NoticeError('usage') for an option out of range
 */
export function sampler(
  options: SamplingOptions & { readonly seed: number | string },
): (logits: Float32Array, sequence: number) => number {
  checked(options);
  const streams = new Map<number, Random>();
  return (logits, sequence) => {
    const stream = streams.get(sequence) ?? seeded(`${options.seed}/sampling/${sequence}`);
    streams.set(sequence, stream);
    return tokenAt(logits, stream.next(), options);
  };
}

function checked({
  temperature = 1,
  topK = Number.POSITIVE_INFINITY,
  topP = 1,
}: SamplingOptions): Required<SamplingOptions> {
  checkPositive(temperature, 'temperature (without sampling the largest logit is taken)');
  if (topK !== Number.POSITIVE_INFINITY) checkWhole(topK, 'top-k', { from: 1 });
  if (!(topP > 0 && topP <= 1)) throw new NoticeError('usage', `top-p is ${topP}, expected 0 < p ≤ 1`);
  return { temperature, topK, topP };
}

function sum(list: readonly Candidate[]): number {
  return list.reduce((total, { probability }) => total + probability, 0);
}
