// The names of WebGPU that declarations of this package use. Where they are declared (TypeScript 6's DOM, @webgpu/types)
// these add nothing; elsewhere the package still compiles, and they stand for objects that nothing is known of.

declare global {
  interface GPU {}
  interface GPUAdapter {}
  interface GPUAdapterInfo {}
  interface GPUBindGroup {}
  interface GPUBindGroupLayout {}
  interface GPUBuffer {}
  interface GPUCommandEncoder {}
  interface GPUCompilationInfo {}
  interface GPUComputePassTimestampWrites {}
  interface GPUComputePipeline {}
  interface GPUDevice {}
}

export {};
