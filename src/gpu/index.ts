import '../global-names.ts';

export type { AdapterIdentity, Capabilities, DeviceLimits, Feature, TuningTable } from './capabilities.ts';
export { identify, isSoftware } from './capabilities.ts';
export type { WorkEstimate } from './counted-work.ts';
export {
  compilerMessages,
  DeviceLostError,
  GpuDriverError,
  GpuValidationError,
  NoAdapterError,
  OutOfMemoryError,
  ShaderError,
} from './errors.ts';
export { Gpu, type GpuOptions, type GpuStatistics, type WorkOptions } from './gpu.ts';
export type { ParamLayout, ParamValues } from './params.ts';
export type { BindingLayout, Buffers, KernelSource } from './pipeline.ts';
export type { PoolStatistics } from './pool.ts';
export { inSyntax, type MatrixSyntax, type SubgroupMatrix } from './subgroup-matrix.ts';
export { type Backward, type Share, Tape } from './tape.ts';
export { TapedWork } from './taped-work.ts';
export { columnsOf, isContiguous, rowsOf, shapeOf, type Tensor } from './tensor.ts';
export type { KernelTime } from './timing.ts';
export { Work } from './work.ts';
