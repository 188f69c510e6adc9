// The library, the same in Node and in browsers. A device and the files of a model come from
// `notice-webgpu/node` or `notice-webgpu/browser`.

export { type ErrorCode, NoticeError, ShapeError } from './errors.ts';
export type {
  Capabilities,
  Gpu,
  GpuOptions,
  KernelTime,
  PoolStatistics,
  Tensor,
  WorkEstimate,
} from './gpu/index.ts';
export * from './inputs/index.ts';
export type { ElementType } from './kernels/index.ts';
export {
  type Generated,
  type GenerateOptions,
  type HookInfo,
  type LoadOptions,
  loadModel,
  type PreparedPrompt,
  Processor,
  type Sample,
  type VisionLanguageModel,
} from './models/index.ts';
export * from './patching/index.ts';
export { filesFolder, httpFolder, type ModelSource } from './weights/index.ts';
