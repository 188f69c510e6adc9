// The library, the same in Node and in browsers. A device and the files of a model come from
// `notice-webgpu/node` or `notice-webgpu/browser`.

export { type Summary, summarizeAll } from './analysis/inference.ts';
export { type ErrorCode, NoticeError, ShapeError } from './errors.ts';
export type {
  Capabilities,
  Gpu,
  GpuOptions,
  KernelTime,
  PoolStatistics,
  Tensor,
  Work,
  WorkEstimate,
} from './gpu/index.ts';
export * from './inputs/index.ts';
export {
  type DtypePlan,
  type FeatureGrid,
  type FeaturePlace,
  featurePlaces,
  type Generated,
  type GenerateOptions,
  type HookInfo,
  type HubLoadOptions,
  type ImageInput,
  type LoadedFromHub,
  type LoadOptions,
  type LoadProgress,
  loadFromHub,
  loadModel,
  ModelRun,
  type PatchGrid,
  type PreparedPrompt,
  type ProcessedSample,
  Processor,
  patchGrids,
  placeName,
  planModel,
  type Sample,
  type SampleInput,
  type VisionLanguageModel,
  type WeightDtype,
  weightDtypes,
  weightPlans,
} from './models/index.ts';
export * from './patching/index.ts';
export {
  type FileStore,
  filesFolder,
  type HttpSourceOptions,
  type HubFolder,
  type HubFolderOptions,
  httpFolder,
  hubFolder,
  type KeptParts,
  type ModelSource,
  type PlannedBuffer,
  type RemoteFolder,
  type StoredFile,
  type StoredListing,
  type WeightPlan,
} from './weights/index.ts';
