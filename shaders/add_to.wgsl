// X[i] += Y[i].
//
// X, Y: `count` f32 values each. Constants: WG.
// One thread takes one value; threads beyond the widest grid take further values in steps of the grid.

struct Params { count: u32, threads: u32 }

@group(0) @binding(0) var<storage, read_write> X: array<f32>;
@group(0) @binding(1) var<storage, read> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) { X[i] += Y[i]; }
}
