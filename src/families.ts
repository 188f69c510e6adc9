// What a family of models outside this repository is made of: entry point `notice-webgpu/families`. docs/adding-a-model.md says
// how; `loadModel(gpu, source, { families })` takes what is made.

export * as kernels from './kernels/index.ts';
export { ContinuingModel, type ContinuingParts, generationConfig } from './models/continuing-model.ts';
export type { ModelFamily, ModelFiles } from './models/family.ts';
export {
  adoptFeatures,
  embedPrompts,
  followingRuns,
  joinedRun,
  type PromptRows,
  promptRows,
  type SelectedFeatures,
  selectFeatures,
} from './models/feature-runs.ts';
export { generateAnswers } from './models/generation.ts';
export { type Answerer, type Head, headLogits, unembed } from './models/head.ts';
export type { HookInfo } from './models/hook-table.ts';
export { JsonConfig, stopTokensOf } from './models/json-config.ts';
export type { Conventions, ForwardOptions, ImageFeatures, Logits } from './models/model.ts';
export {
  type BertSettings,
  type BertWeights,
  bertHooks,
  loadBert,
  readBert,
} from './models/parts/bert.ts';
export {
  type AttentionNames,
  type BlockNames,
  type BlockOptions,
  type BlockPlace,
  blockHooks,
  loadBlocks,
  type MlpNames,
} from './models/parts/block.ts';
export { readGemma } from './models/parts/gemma.ts';
export { Llama, type LlamaWeights, llamaHooks, loadLlama } from './models/parts/llama.ts';
export { LLAMA, type LlamaDefaults, type LlamaSettings, readLlama } from './models/parts/llama-settings.ts';
export { type ProjectorWeights, project, projectLinear } from './models/parts/projector.ts';
export {
  BLIP_VIT,
  CLIP,
  loadVit,
  patchSide,
  readVit,
  SIGLIP,
  SIGLIP_DEFAULTS,
  type VitDefaults,
  type VitNames,
  type VitSettings,
  type VitWeights,
  vitHooks,
  vitPositions,
  walkVit,
} from './models/parts/vit.ts';
export { lastPositions, sequenceIn, sequencesIn, tokenRuns } from './models/sequences.ts';
export { type ModelParts, TiledImageModel, tileGrids } from './models/tiled-image-model.ts';
export * from './models/tower/index.ts';
export { embedImages, type Tile, type VisionEmbedding, visionRuns } from './models/vision.ts';
export { convolution, layerNorm, linear, prefixOf, rmsNorm } from './models/weight-maps.ts';
export { Checkpoint, type TensorInfo, WeightLoader } from './weights/index.ts';
