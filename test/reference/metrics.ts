import type { Metric, RestorationRow } from '../../src/kernels/index.ts';
import { type Matrix, sum } from './matrix.ts';

/** torch.logsumexp of each row, then the logits of its token ids. */
export function logSumExp(logits: Matrix, ids: readonly (readonly number[])[]): Matrix {
  return logits.map((row, r) => {
    const largest = Array.from(row).reduce((a, b) => Math.max(a, b));
    const total = sum(Array.from(row, (logit) => Math.exp(logit - largest)));
    return [largest + Math.log(total), ...ids[r]!.map((id) => row[id]!)];
  });
}

/**
 * P'(correct), P'(correct) − P*(correct), LD' − LD*, (LD' − LD*) / (LD − LD*) ("What Do VLMs NOTICE?", section 3).
 *
 * @param scores [*, 3] (log-sum-exp, logit of the correct, logit of the incorrect answer)
 */
export function restoration(scores: Matrix, rows: readonly RestorationRow[]): Matrix {
  const probability = (r: number) => Math.exp(scores[r]![1]! - scores[r]![0]!);
  const difference = (r: number) => scores[r]![1]! - scores[r]![2]!;
  return rows.map(({ patched, corrupt, clean }) => {
    const effect = difference(patched) - difference(corrupt);
    return [
      probability(patched),
      probability(patched) - probability(corrupt),
      effect,
      effect / (difference(clean) - difference(corrupt)),
    ];
  });
}

/** What a metric gives for a row of logits. */
export function metricValue(logits: Float32Array, metric: Metric): number {
  const [[lse]] = logSumExp([logits], [[]]) as [[number]];
  const at = (token: number) => logits[token] as number;
  switch (metric.kind) {
    case 'logit-difference':
      return at(metric.correct) - at(metric.incorrect);
    case 'logit':
      return at(metric.token);
    case 'probability':
      return Math.exp(at(metric.token) - lse);
    case 'log-probability':
      return at(metric.token) - lse;
    case 'weights':
      return sum(Array.from(logits, (value, v) => value * (metric.weights[v] as number)));
  }
}
