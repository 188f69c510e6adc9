export { hasPacked } from './bitsandbytes.ts';
export { type ByteSource, blobSource, memorySource } from './byte-source.ts';
export { Checkpoint, type TensorChunk } from './checkpoint.ts';
export {
  bf16ToF32,
  DTYPES,
  type Dtype,
  type DtypeArrays,
  dtypeBytes,
  f16ToF32,
  f32ToBf16,
  f32ToF16,
  isDtype,
} from './dtype.ts';
export { ModelFileError, WeightsError } from './errors.ts';
export type { FileStore, KeptParts, StoredFile, StoredListing } from './file-store.ts';
export { WeightLoader, type WeightLoaderOptions } from './gpu-loader.ts';
export { type HttpSourceOptions, httpFolder, httpSource, type RemoteFolder } from './http-source.ts';
export { type HubFolder, type HubFolderOptions, hubFolder } from './hub-folder.ts';
export { filesFolder, hasFile, type ModelSource, readJson, readText } from './model-source.ts';
export { doesNotFit, type PlannedBuffer, type WeightPlan } from './plan.ts';
export { elementCount, openSafetensors, type SafetensorsFile, type TensorInfo } from './safetensors.ts';
export {
  asFloat32,
  type HostTensor,
  readTensors,
  safetensorsChunks,
  type TensorEntry,
  writeSafetensors,
} from './tensors.ts';
