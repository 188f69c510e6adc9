// Statistics of effects, which heads matter in which modality, what heads do, and attention over patches: entry point
// `notice-webgpu/analysis`. Knows neither models nor GPU.

export type { CellMetric, CellRow, Corruption, Modality } from './cell.ts';
export { type HeadCorrelation, headCorrelations, layerProfile } from './comparison.ts';
export { type EffectSummary, summarizeEffects } from './effect-summary.ts';
export {
  ALL_CATEGORIES,
  CellEffects,
  type Cells,
  type EffectGroup,
  type EffectPlace,
  type HeadEffects,
  type HeadPosition,
  type ModuleEffects,
  ofCategory,
  type PlaceMean,
} from './effects.ts';
export {
  type BoxedAttention,
  FUNCTION_RULES,
  HEAD_FUNCTIONS,
  type HeadFunction,
  type HeadFunctionReport,
  type HeadFunctionScores,
  headFunctions,
} from './head-functions.ts';
export {
  averageHead,
  headPatches,
  type ImageAttention,
  imageAttention,
  minusAverage,
  type PatternStack,
} from './image-attention.ts';
export {
  type Interval,
  type ResamplingOptions,
  type SampleValues,
  type SignFlipTest,
  type Summary,
  signFlipTests,
  summarizeAll,
  wilsonInterval,
} from './inference.ts';
export { attentionOverlay, type Grid } from './overlay.ts';
export { boxCoverage } from './patch-grid.ts';
export { mean, quantile, ranks, spearman, standardDeviation, standardError } from './statistics.ts';
export {
  HEAD_CLASSES,
  type Head,
  type HeadClass,
  type HeadSelection,
  type HeadStatistic,
  headLabel,
  headScore,
  selectHeads,
  type UniversalHeads,
  universalHeads,
} from './universal-heads.ts';
