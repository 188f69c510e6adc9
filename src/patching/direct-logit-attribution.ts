// Direct logit attribution (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; TransformerLens'
// ActivationCache.logit_attrs): how much of a logit difference each head, MLP, embedding and bias has written into the residual
// stream by itself.

import { checkFields, checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import { rowsOf, type Tensor, type Work } from '../gpu/index.ts';
import { addRows, gatherRows, logSumExp, matmul, metricValues } from '../kernels/index.ts';
import { type SampleInput, unembed, type VisionLanguageModel } from '../models/index.ts';
import { checkMetric, type Metric } from './metric.ts';
import { forward, RUN_FIELDS, type RunOptions } from './run.ts';
import { HEAD_BIAS, type HeadParts, type PartName, StreamParts } from './stream-parts.ts';

/** Logits of a block of parts take at most this many bytes. */
const SCRATCH_BYTES = 96 * 1024 * 1024;

export interface AttributionOptions extends RunOptions {
  /** What is shared out: `logitDifference`, `logit` or `weighted`, which are linear in the logits. */
  readonly metric: Metric;
  /** Position of the tower that answers; default its last, where the answer begins. */
  readonly position?: number | undefined;
}

/** A part of the residual stream and what it gives to the metric. */
export interface LogitPart extends PartName {
  readonly value: number;
}

export interface LogitAttribution {
  /** The metric of the logits at the position. */
  readonly value: number;
  /** In the order of computation. */
  readonly parts: readonly LogitPart[];
  /** What the parts do not add up to: `value` − their sum. */
  readonly remainder: number;
}

/**
 * Each head's, MLP's, embedding's and bias's part of a logit difference, through the last norm with its scale frozen.
 *
 * Heads are `attn.hook_result` by layer and head, MLPs `hook_mlp_out`. In towers that normalise before their sublayers the
 * parts add up to the metric but for rounding, and `remainder` is that rounding; besides, it has what a cap of the logits takes,
 * what Qwen3-VL adds to the stream at features of images, and what interventions change in the stream behind heads and MLPs. BLIP's
 * decoder normalises after every sublayer, and its head has a dense layer, GELU and a norm of its own: every norm's scale is
 * frozen, GELU is the line that touches it where this run is, and what that line leaves is `remainder`. Formulas: docs/metrics.md.
 *
 * Attention patterns and the insides of MLPs are taken as they are in the run: what a part does through later blocks is theirs.
 *
 * @returns for each sample
 * @throws NoticeError('usage') for a metric that is not linear in the logits, ('hook') for a position that does not exist,
 *   ('not-finite') where the stream is NaN or infinite; as `runWithHooks`
 */
export async function directLogitAttribution(
  model: VisionLanguageModel,
  samples: readonly SampleInput[],
  given: AttributionOptions,
): Promise<LogitAttribution[]> {
  checkFields(given, 'the options', ['metric', 'position', ...RUN_FIELDS]);
  const { metric, position, ...options } = given;
  checkMetric(metric, 'the metric', model.vocabulary);
  if (metric.kind === 'probability' || metric.kind === 'log-probability')
    throw new NoticeError(
      'usage',
      `a ${metric.kind} is no sum over parts of the stream; take logit, logitDifference or weighted`,
    );
  if (position !== undefined) checkWhole(position, 'position');
  const parts = new StreamParts(model, position);
  let found: LogitAttribution[] = [];
  const { cache } = await forward(model, samples, {
    ...options,
    cacheNames: new Set(),
    watch: parts,
    stopAfter: parts.lastHook,
    onEnd: async (w) => {
      const values = parts.results.map((result) => valuesOf(w, model, result, metric));
      const read = await w.read(...values);
      found = parts.results.map(({ names }, i) => attributionOf(names, read[i] as Float32Array));
    },
  });
  cache.release();
  return found;
}

/** The metric of every part, then that of the run: [parts + 1, 1]. */
function valuesOf(
  w: Work,
  model: VisionLanguageModel,
  { names, rows, stream }: HeadParts,
  metric: Metric,
): Tensor {
  const { head } = model.answerer;
  const { weight, bias } = head.output;
  const out = w.empty(rows.rows + 1, 1, 'attribution');
  const put = (logits: Tensor, first: number) => {
    const scores = logSumExp(
      w,
      logits,
      Array.from({ length: logits.rows }, () => []),
    );
    const measured = metricValues(
      w,
      logits,
      scores,
      Array.from({ length: logits.rows }, (_, row) => ({ logits: row, scores: row, metric })),
    );
    gatherRows(w, measured, indices(logits.rows), rowsOf(out, first, logits.rows));
    w.release(logits, scores, measured);
  };
  const count = Math.max(1, Math.floor(SCRATCH_BYTES / (4 * weight.rows)));
  const constant = names.findIndex(({ name }) => name === HEAD_BIAS);
  for (let first = 0; first < rows.rows; first += count) {
    const part = rowsOf(rows, first, Math.min(count, rows.rows - first));
    const logits = matmul(w, part, weight);
    if (bias && constant >= first && constant < first + part.rows)
      addRows(
        w,
        logits,
        { buffer: bias.buffer, rows: 1, columns: bias.length, stride: bias.length, offset: 0 },
        Uint32Array.of(constant - first, 0),
      );
    put(logits, first);
  }
  put(unembed(w, head, stream), rows.rows);
  return out;
}

/** @throws NoticeError('not-finite') */
function attributionOf(names: readonly PartName[], values: Float32Array): LogitAttribution {
  const odd = values.findIndex((value) => !Number.isFinite(value));
  if (odd >= 0)
    throw new NoticeError(
      'not-finite',
      `what ${names[odd]?.name ?? 'the whole stream'} gives to the metric is not finite`,
    );
  const parts = names.map((name, i): LogitPart => ({ ...name, value: values[i] as number }));
  const value = values[names.length] as number;
  return { value, parts, remainder: value - parts.reduce((sum, part) => sum + part.value, 0) };
}

function indices(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => i);
}
