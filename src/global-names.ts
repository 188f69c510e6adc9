// The names of WebGPU and of the web platform that declarations of this package use. Where they are declared (WebGPU's in
// TypeScript 6's DOM and @webgpu/types, the others in every DOM and @types/node) these add nothing; elsewhere the package still
// compiles, and they stand for objects that nothing is known of.

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

  interface AbortSignal {}
  interface Blob {}
  interface File {}
  interface Headers {}
  interface RequestInit {}
  interface Response {}
  interface SVGElement {}
}

export {};
