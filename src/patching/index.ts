export {
  type AttentionMap,
  type AttentionMapOptions,
  type AttentionOptions,
  attentionMap,
  attentionMapOf,
  attentionToImage,
  type HeadId,
  type MapGrid,
  type SampleAttention,
} from './attention-map.ts';
export {
  attributionPatching,
  type EstimatedSite,
  type EstimateOptions,
  type EstimateResult,
} from './attribution.ts';
export type { SweepMode } from './batch.ts';
export { ActivationCache, CachedActivation } from './cache.ts';
export type { PatchPair, PatchPairInput, SweepJob, SweepJobInput, SweepSite } from './cells.ts';
export { checkSite } from './cells.ts';
export type { Controls } from './controls.ts';
export { corruptionOf } from './corruption.ts';
export {
  type AttributionOptions,
  directLogitAttribution,
  type LogitAttribution,
  type LogitPart,
} from './direct-logit-attribution.ts';
export { type EdgeAttribution, type EdgeOptions, edgeAttribution } from './edge-attribution.ts';
export { keepFeatures } from './features.ts';
export { firstNotFinite, type NamedPass, namingNotFinite } from './finite.ts';
export {
  type GradCamOptions,
  type GradientMap,
  type GradientMapOptions,
  gradCam,
  type PixelMap,
  relevance,
  type SaliencyOptions,
  saliency,
} from './gradient-maps.ts';
export { type GradientOptions, type Gradients, runWithGradients } from './gradients.ts';
export {
  type Inpainted,
  type InpaintOptions,
  inpaint,
  type StepIntervention,
} from './inpaint.ts';
export {
  add,
  type CustomHook,
  type CutFields,
  cut,
  type Intervention,
  interpolate,
  mean,
  type PatchSource,
  replace,
  scale,
  type Target,
  zero,
} from './intervention.ts';
export { cutEdges, type Edges, knockout, noImage } from './knockout.ts';
export {
  type EdgeGroup,
  type EdgeGroupResult,
  KNOCKOUT_METRICS,
  type KnockoutJob,
  type KnockoutResult,
  knockoutSweep,
} from './knockout-sweep.ts';
export { type LensMaps, loadLensMaps } from './lens-maps.ts';
export { type LogitLens, type LogitLensOptions, logitLens } from './logit-lens.ts';
export { METRIC_NUMBERS, METRICS, REPEATED_CELLS } from './measure.ts';
export { logit, logitDifference, logProbability, type Metric, probability, weighted } from './metric.ts';
export {
  findHook,
  type HookedModel,
  type NameFilter,
  parseSite,
  type Site,
  selectHooks,
  towerOf,
} from './names.ts';
export { drawNoise, embeddingDeviation } from './noise.ts';
export { type PairLogits, type PatchPairOptions, patchPair } from './patch-pair.ts';
export { type PathEnd, type PathJob, type PathResult, pathPatching } from './path-patching.ts';
export { type LayerRows, planSweep, type SweepPlan, sweepOperations } from './plan.ts';
export {
  type CacheOptions,
  generateWithHooks,
  hooks,
  type RunOptions,
  runWithCache,
  runWithHooks,
} from './run.ts';
export { type AnswerScore, type EditsOfOne, scoreAnswer } from './score.ts';
export {
  loadSteering,
  meanDifference,
  type SteeringOptions,
  type SteeringVectors,
  steeringFile,
} from './steering.ts';
export {
  type MeasuredCell,
  type SiteResult,
  type SweepOptions,
  type SweepResult,
  sweep,
} from './sweep.ts';
export type { Verification, VerifiedCell } from './verify-estimate.ts';
export type { Baseline } from './walk-cells.ts';
