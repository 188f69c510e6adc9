/** A kernel as gpu-check compiles it. */
export interface GpuKernel {
  readonly name: string;
  /** The module's WGSL. */
  readonly code: string;
  /** First digits of the SHA-256 of that without its comments. */
  readonly hash: string;
  /** Storage buffers. */
  readonly bindings: number;
  /** Whether the library chooses it by itself. */
  readonly usual: boolean;
}

export function gpuKernels(
  K: typeof import('../../src/kernels/index.ts'),
  PipelineCache: typeof import('../../src/gpu/pipeline.ts').PipelineCache,
): GpuKernel[];
