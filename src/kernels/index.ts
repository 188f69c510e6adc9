export { attentionScores, attentionSoftmax, attentionValues } from './attention.ts';
export {
  type AttentionShape,
  type AttentionTables,
  releasePlan,
  type ScoresKernel,
  uploadPlan,
} from './attention-kernels.ts';
export {
  type AttentionChunk,
  type AttentionGroup,
  type AttentionPlan,
  type AttentionQuery,
  planAttention,
} from './attention-plan.ts';
export { type Blend, blendRows } from './blend-rows.ts';
export { type ConvOptions, convolve, type FeatureMaps } from './conv.ts';
export { customHook, DEFAULT_LOOP_LIMIT, type HookRow } from './custom-hook.ts';
export { cutScores, type ScoreCut, silenceRows } from './cut-scores.ts';
export {
  activate,
  add,
  addRows,
  copyRows,
  gatherRows,
  meanRows,
  type NormWeights,
  normalize,
  normalizeHeads,
  rotaryTable,
  rotate,
  spreadHeads,
  type Turn,
} from './elementwise.ts';
export { addPositions, type Corners, embedImage, embedTokens, imagePatches } from './embedding.ts';
export { type GroupNormWeights, normalizeGroups } from './group-norm.ts';
export { type Edit, type InterveneOp, intervene } from './intervene.ts';
export { rowNorms, tokenRanks, topLogits } from './lens.ts';
export { activationBackward, normalizeFrozen } from './linearised.ts';
export { type MatmulOptions, matmul } from './matmul.ts';
export {
  canRun,
  chooseMatmul,
  type MatmulVariant,
  SHAPE_CLASSES,
  type ShapeClass,
  shapeClass,
} from './matmul-variant.ts';
export {
  logSumExp,
  type Metric,
  type MetricRow,
  metricGradients,
  metricValues,
  type RestorationRow,
  restoration,
} from './metrics.ts';
export { type FileRows, quantize } from './quantize.ts';
export { measureMatmulRate } from './rate.ts';
export { rowDots } from './row-dots.ts';
export { guide, mix } from './sampler.ts';
export type { Activation, Scaling } from './source.ts';
export { parseTuning, type TuningTask, tuningTasks } from './tuning.ts';
export {
  blockRows,
  CODES_PER_WORD,
  ELEMENT_BYTES,
  type ElementType,
  isQuantized,
  type LinearWeight,
  NF4_BLOCK,
  type QuantizedPart,
  type QuantizedType,
  type QuantizedWeight,
  scaleCount,
  type Vector,
  type Weight,
  type WeightPart,
} from './weight.ts';
