// X[i] = a · X[i] + b · E[i]: a step of a deterministic sampler, whose coefficients the host has.
//
// X, E [count] f32. Constants: WG. One thread takes one value, then steps on by the grid.

struct Params { count: u32, threads: u32, a: f32, b: f32 }

@group(0) @binding(0) var<storage, read> E: array<f32>;
@group(0) @binding(1) var<storage, read_write> X: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) { X[i] = fma(params.a, X[i], params.b * E[i]); }
}
