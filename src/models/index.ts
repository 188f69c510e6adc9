export {
  type Canvas,
  type GivenNoise,
  type InpaintingModel,
  type InpaintingOptions,
  latentMask,
  loadInpainting,
  type Painting,
  type PaintOptions,
  type Phase,
  parseScheduler,
  type SchedulerConfig,
  type StepInfo,
  samplerSteps,
  timesteps,
  toPlanes,
} from './diffusion/index.ts';
export type { ModelFamily, ModelFiles } from './family.ts';
export { type HubLoadOptions, type LoadedFromHub, loadFromHub } from './from-hub.ts';
export { type Answerer, type Head, unembed } from './head.ts';
export type { HookInfo } from './hook-table.ts';
export {
  type FeatureGrid,
  type FeaturePlace,
  featurePlaces,
  type ImageInput,
  type PatchGrid,
  patchGrids,
  placeName,
  sameImages,
  tileCount,
  withOwnImages,
} from './image-input.ts';
export {
  type DtypePlan,
  type LoadOptions,
  type LoadProgress,
  loadModel,
  planModel,
  WEIGHT_DTYPES,
  type WeightDtype,
  weightDtypes,
  weightPlans,
  withPlannedModel,
} from './load.ts';
export {
  type Conventions,
  type ForwardOptions,
  type Generated,
  type GenerateOptions,
  type ImageFeatures,
  type Logits,
  ModelRun,
  type Sample,
  type VisionLanguageModel,
} from './model.ts';
export { type PreparedPrompt, Processor, type Question } from './processor.ts';
export { ProcessedSample, type SampleInput, samplesOf } from './sample.ts';
export type { InputTensors, OutputTensor, SampleTensors } from './sample-tensors.ts';
export { sequenceIn, TooLongError } from './sequences.ts';
export {
  type Activation,
  type BlockWeights,
  type Cuts,
  type Fork,
  type Frozen,
  headResults,
  type Linear,
  NO_PROBE,
  type PixelPart,
  type Probe,
  ranges,
  Sequence,
  type TowerConfig,
} from './tower/index.ts';
