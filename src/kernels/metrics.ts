// From logits to the few numbers that leave the GPU.

import { checkShape } from '../errors.ts';
import { isContiguous, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import { ELEMENT_THREADS, gridOf } from './grid.ts';
import { kernel, reductionFor } from './source.ts';

/**
 * Of rows of logits the log-sum-exp and the logits of some tokens.
 *
 * @param logits contiguous [*, V]
 * @param ids per result the same number of token ids
 * @param rows row of `logits` for each result; default one after the other
 * @returns [ids.length, 1 + tokens per result]
 * @throws ShapeError if an id is not below V, or a row does not exist
 */
export function logSumExp(
  w: Work,
  logits: Tensor,
  ids: readonly (readonly number[])[],
  rows: readonly number[] = ids.map((_, row) => row),
): Tensor {
  const count = ids[0]?.length ?? 0;
  checkShape(
    isContiguous(logits) && ids.every((tokens) => tokens.length === count) && rows.length === ids.length,
    () =>
      `log-sum-exp: ${ids.length} lists of token ids for ${rows.length} rows of logits ${shapeOf(logits)}`,
  );
  const noRow = rows.find((row) => !(row >= 0 && row < logits.rows));
  checkShape(noRow === undefined, () => `log-sum-exp: row ${noRow} of logits ${shapeOf(logits)}`);
  const beyond = ids.flat().find((id) => !(id >= 0 && id < logits.columns));
  checkShape(beyond === undefined, () => `token id ${beyond} is outside the vocabulary of ${logits.columns}`);
  const reduction = reductionFor(w.capabilities);
  const source = kernel('log_sum_exp', [reduction.by, reduction.WG], () => ({ reduction }));
  const out = w.empty(ids.length, 1 + count, 'log-sum-exp and logits');
  const table = w.uploadWords(
    Uint32Array.from(ids.flatMap((tokens, i) => [rows[i] as number, ...tokens])),
    'answer ids',
  );
  const { groups, gridX } = gridOf(w, ids.length);
  w.dispatch(
    source,
    { L: logits.buffer, ids: table, result: out.buffer },
    { R: ids.length, V: logits.columns, count, gridX },
    groups,
  );
  w.release(table);
  return out;
}

/** Rows of the scores of a patched run and of the runs it is compared with. */
export interface RestorationRow {
  readonly patched: number;
  readonly corrupt: number;
  readonly clean: number;
}

/**
 * P'(correct), P'(correct) − P*(correct), LD' − LD* and (LD' − LD*) / (LD − LD*) of patched runs.
 *
 * @param scores [*, 3] = (log-sum-exp, logit of the correct, logit of the incorrect answer), from {@link logSumExp}
 * @returns [rows.length, 4]; the last is NaN where clean and corrupt run have the same logit difference
 */
export function restoration(w: Work, scores: Tensor, rows: readonly RestorationRow[]): Tensor {
  checkShape(
    isContiguous(scores) && scores.columns === 3,
    () => `restoration expects scores [*, 3], found ${shapeOf(scores)}`,
  );
  const beyond = rows
    .flatMap(({ patched, corrupt, clean }) => [patched, corrupt, clean])
    .find((row) => !(row >= 0 && row < scores.rows));
  checkShape(beyond === undefined, () => `restoration: run ${beyond} of scores ${shapeOf(scores)}`);
  const source = kernel('restoration', [], () => ({ constants: { WG: ELEMENT_THREADS } }));
  const out = w.empty(rows.length, 4, 'restoration');
  const index = w.uploadWords(
    Uint32Array.from(rows.flatMap(({ patched, corrupt, clean }) => [patched, corrupt, clean])),
    'rows of runs',
  );
  w.dispatch(source, { S: scores.buffer, index, result: out.buffer }, { R: rows.length }, [
    Math.ceil(rows.length / ELEMENT_THREADS),
    1,
    1,
  ]);
  w.release(index);
  return out;
}

/** What is measured of a run's logits at the answer's first position; the formulas are in docs/metrics.md. */
export type Metric =
  | { readonly kind: 'logit-difference'; readonly correct: number; readonly incorrect: number }
  | { readonly kind: 'logit' | 'probability' | 'log-probability'; readonly token: number }
  /** [vocabulary] */
  | { readonly kind: 'weights'; readonly weights: Float32Array };

/** In the order of their numbers in metric.wgsl. */
const KINDS: readonly Metric['kind'][] = [
  'logit-difference',
  'logit',
  'probability',
  'log-probability',
  'weights',
];

/** A run, by its rows of logits and of scores, and its metric. */
export interface MetricRow {
  readonly logits: number;
  readonly scores: number;
  readonly metric: Metric;
}

/**
 * Each run's metric, in f32. A value does not depend on the other rows; the order of its sum is in metric.wgsl.
 *
 * @param logits contiguous [*, V]
 * @param scores [*, C], the first column the log-sum-exp, from {@link logSumExp}
 * @returns [rows.length, 1]
 * @throws ShapeError if a row or a token does not exist, or there are not V weights
 */
export function metricValues(w: Work, logits: Tensor, scores: Tensor, rows: readonly MetricRow[]): Tensor {
  const V = logits.columns;
  checkMetricRows(logits, scores, rows);
  // The same order of summation on every device, so not the device's own reduction.
  const source = kernel('metric', [], () => ({ reduction: { by: 'workgroup', WG: 64 } }));
  const out = w.empty(rows.length, 1, 'metric');
  const { table, weightTable } = metricTables(w, rows, V);
  const { groups, gridX } = gridOf(w, rows.length);
  const weighted = rows.filter(({ metric }) => metric.kind === 'weights').length;
  w.dispatch(
    source,
    { L: logits.buffer, S: scores.buffer, W: weightTable, runs: table, result: out.buffer },
    { R: rows.length, V, C: scores.columns, gridX },
    groups,
    2 * weighted * V,
  );
  w.release(table, weightTable);
  return out;
}

/**
 * The derivative of each run's metric by the logits; 0 in rows that no run has.
 *
 * @returns contiguous, the shape of `logits`
 * @throws ShapeError as {@link metricValues}
 */
export function metricGradients(w: Work, logits: Tensor, scores: Tensor, rows: readonly MetricRow[]): Tensor {
  const V = logits.columns;
  checkMetricRows(logits, scores, rows);
  const out = w.empty(logits.rows, V, 'gradient of logits');
  w.clear(out.buffer, 0, 4 * logits.rows * V);
  const { table, weightTable } = metricTables(w, rows, V);
  const { groups, gridX } = gridOf(w, rows.length);
  w.dispatch(
    kernel('metric_backward', [], () => ({ constants: { WG: ELEMENT_THREADS } })),
    { L: logits.buffer, S: scores.buffer, W: weightTable, runs: table, D: out.buffer },
    { R: rows.length, V, C: scores.columns, gridX },
    groups,
  );
  w.release(table, weightTable);
  return out;
}

/** Runs and their metrics as the kernels read them. */
function metricTables(w: Work, rows: readonly MetricRow[], V: number) {
  const weights = [...new Set(rows.flatMap(({ metric }) => ('weights' in metric ? [metric.weights] : [])))];
  const matrix = new Float32Array(Math.max(1, weights.length * V));
  for (const [i, values] of weights.entries()) matrix.set(values, i * V);
  const weightTable = w.uploadWords(matrix, 'weights of a metric');
  const table = w.uploadWords(
    Uint32Array.from(
      rows.flatMap((row) => {
        const { metric } = row;
        const [first, second = 0] =
          'weights' in metric ? [weights.indexOf(metric.weights)] : tokensOf(metric);
        return [row.logits, row.scores, KINDS.indexOf(metric.kind), first as number, second];
      }),
    ),
    'runs of a metric',
  );
  return { table, weightTable };
}

function tokensOf(metric: Exclude<Metric, { kind: 'weights' }>): number[] {
  return 'token' in metric ? [metric.token] : [metric.correct, metric.incorrect];
}

function checkMetricRows(logits: Tensor, scores: Tensor, rows: readonly MetricRow[]): void {
  const V = logits.columns;
  checkShape(
    isContiguous(logits) && isContiguous(scores),
    () => `metric: logits ${shapeOf(logits)} and scores ${shapeOf(scores)} must be contiguous`,
  );
  for (const { logits: row, scores: score, metric } of rows) {
    checkShape(
      row >= 0 && row < logits.rows && score >= 0 && score < scores.rows,
      () => `metric: row ${row} of logits ${shapeOf(logits)} with row ${score} of scores ${shapeOf(scores)}`,
    );
    const { length } = 'weights' in metric ? metric.weights : { length: V };
    checkShape(length === V, () => `metric: ${length} weights for a vocabulary of ${V}`);
    const beyond = 'weights' in metric ? undefined : tokensOf(metric).find((id) => !(id >= 0 && id < V));
    checkShape(beyond === undefined, () => `token id ${beyond} is outside the vocabulary of ${V}`);
  }
}
