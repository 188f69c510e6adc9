// What a run is measured by, of its logits at the answer's first position.

import { checkChoice, checkFields, checkFinite, checkFloats, checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { Metric } from '../kernels/index.ts';

export type { Metric };

/** logit(correct) − logit(incorrect) */
export function logitDifference(correct: number, incorrect: number): Metric {
  return { kind: 'logit-difference', correct, incorrect };
}

/** A token's logit. */
export function logit(token: number): Metric {
  return { kind: 'logit', token };
}

/** A token's probability: softmax(logits)[token]. */
export function probability(token: number): Metric {
  return { kind: 'probability', token };
}

/** The natural logarithm of a token's probability. */
export function logProbability(token: number): Metric {
  return { kind: 'log-probability', token };
}

/**
 * Σ weights[v] · logits[v]: a direction in the space of logits.
 *
 * @param weights [vocabulary]
 */
export function weighted(weights: Float32Array): Metric {
  return { kind: 'weights', weights };
}

const FIELDS: Readonly<Record<Metric['kind'], readonly string[]>> = {
  'logit-difference': ['correct', 'incorrect'],
  logit: ['token'],
  probability: ['token'],
  'log-probability': ['token'],
  weights: ['weights'],
};

/**
 * @param name whose metric it is, for messages
 * @throws NoticeError('usage') for tokens that do not exist, two that are one, weights that are not finite, and what the
 *   types forbid; ('shape') unless there is one weight for each token
 */
export function checkMetric(metric: Metric, name: string, vocabulary: number): void {
  checkFields(metric, name, ['kind', ...Object.values(FIELDS).flat()]);
  checkChoice(metric.kind, `${name}: the kind`, Object.keys(FIELDS));
  checkFields(metric, name, ['kind', ...FIELDS[metric.kind]]);
  const to = vocabulary - 1;
  if (metric.kind === 'weights') {
    const { weights } = metric;
    checkFloats(weights, `${name}: weights`, vocabulary);
    const odd = weights.findIndex((weight) => !Number.isFinite(weight));
    if (odd >= 0) checkFinite(weights[odd], `${name}: weights[${odd}]`);
    return;
  }
  if (metric.kind !== 'logit-difference') {
    checkWhole(metric.token, `${name}: the token`, { to });
    return;
  }
  checkWhole(metric.correct, `${name}: the correct answer's token`, { to });
  checkWhole(metric.incorrect, `${name}: the incorrect answer's token`, { to });
  if (metric.correct === metric.incorrect)
    throw new NoticeError(
      'usage',
      `${name}: both answers have the token ${metric.correct}, so their logit difference is 0 whatever the model does`,
    );
}

/** A metric of logits [vocabulary], in f64. */
export function metricOf(logits: Float32Array, metric: Metric): number {
  const at = (token: number) => logits[token] as number;
  switch (metric.kind) {
    case 'logit-difference':
      return at(metric.correct) - at(metric.incorrect);
    case 'logit':
      return at(metric.token);
    case 'weights':
      return logits.reduce((sum, x, v) => sum + x * (metric.weights[v] as number), 0);
    default: {
      const largest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      const total = logits.reduce((sum, x) => sum + Math.exp(x - largest), 0);
      const log = at(metric.token) - largest - Math.log(total);
      return metric.kind === 'probability' ? Math.exp(log) : log;
    }
  }
}
