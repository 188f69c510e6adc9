// Y[i] = G[i] · act'(X[i]): what comes back through an elementwise activation, or what a change of its input makes of its output
// to first order.
//
// X, G, Y: `count` f32 values each. Constants: WG. The prelude defines the derivative of act as `slope`.
// One thread computes one value; threads beyond the widest grid take further values in steps of the grid.

struct Params { count: u32, threads: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> G: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) { Y[i] = G[i] * slope(X[i]); }
}
