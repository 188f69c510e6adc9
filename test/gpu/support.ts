import type { KernelSource } from '../../src/gpu/index.ts';

/** y = factor · x */
export const SCALE = {
  name: 'test_scale',
  code: `
    struct Params { count: u32, factor: f32 }
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < params.count) { y[id.x] = params.factor * x[id.x]; }
    }`,
  bindings: { x: 'read', y: 'read_write' },
  params: { count: 'u32', factor: 'f32' },
} as const satisfies KernelSource;
