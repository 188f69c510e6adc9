// What an adapter can do at best: dependent-free multiply-adds in registers, and a read of a large buffer.

import type { Gpu, Work } from '../gpu/index.ts';

const CHAINS = 16;
const RUNS = 6;

/** Operations and bytes per second. */
export interface Peak {
  readonly flops: number;
  readonly bytes: number;
}

/** Every thread advances 16 independent chains of fma. */
const arithmetic = {
  name: 'peak arithmetic',
  code: `struct Params { steps: u32 }
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = f32(id.x) * 1e-9 + 0.999;
  ${each((i) => `var s${i} = f32(id.x + ${i}u);`)}
  for (var k = 0u; k < params.steps; k++) {
    ${each((i) => `s${i} = fma(fma(fma(fma(s${i}, a, 0.5), a, 0.5), a, 0.5), a, 0.5);`)}
  }
  out[id.x] = ${Array.from({ length: CHAINS }, (_, i) => `s${i}`).join(' + ')};
}`,
  bindings: { out: 'read_write' },
  params: { steps: 'u32' },
} as const;

/** Every thread adds up quads that lie a grid apart, so that neighbours read neighbours. */
const reading = {
  name: 'peak reading',
  code: `struct Params { quads: u32, threads: u32 }
@group(0) @binding(0) var<storage, read> data: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  var sum = vec4f();
  for (var i = id.x; i < params.quads; i += params.threads) { sum += data[i]; }
  out[id.x] = sum.x + sum.y + sum.z + sum.w;
}`,
  bindings: { data: 'read', out: 'read_write' },
  params: { quads: 'u32', threads: 'u32' },
} as const;

function each(line: (i: number) => string): string {
  return Array.from({ length: CHAINS }, (_, i) => line(i)).join('\n  ');
}

/** The best of some runs. */
export function measurePeak(gpu: Gpu, signal?: AbortSignal): Promise<Peak> {
  return gpu.work((w) => measure(w), { signal });
}

async function measure(w: Work): Promise<Peak> {
  const { software, limits } = w.capabilities;
  const groups = software ? 64 : 16384;
  const steps = software ? 64 : 1024;
  const threads = 64 * groups;
  const out = w.empty(1, threads, 'peak');
  const bytes = Math.min(software ? 64 * 2 ** 20 : 512 * 2 ** 20, limits.maxStorageBufferBindingSize);
  const data = w.empty(1, bytes / 4, 'peak data');
  const rate = async (amount: number, dispatch: () => void) => {
    const times: number[] = [];
    for (let i = 0; i < RUNS; i++) {
      const start = performance.now();
      dispatch();
      await w.finish();
      times.push(performance.now() - start);
    }
    return (1000 * amount) / Math.min(...times);
  };
  return {
    flops: await rate(threads * steps * CHAINS * 4 * 2, () =>
      w.dispatch(arithmetic, { out: out.buffer }, { steps }, [groups, 1, 1]),
    ),
    bytes: await rate(bytes, () =>
      w.dispatch(reading, { data: data.buffer, out: out.buffer }, { quads: bytes / 16, threads }, [
        groups,
        1,
        1,
      ]),
    ),
  };
}
