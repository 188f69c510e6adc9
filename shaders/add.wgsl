// Y[i] = X[i] + R[i]: a residual sum where a hook needs the summand apart.
// By fma with a runtime 1, as matmul's epilogue adds (matmul_operands.wgsl).
// X, R, Y: `count` f32 values each. Constant: WG. One thread computes one value, then steps on by the grid.

struct Params { count: u32, threads: u32, one: f32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> R: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) { Y[i] = fma(X[i], params.one, R[i]); }
}
