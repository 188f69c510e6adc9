// X[r, h, d] ← X[r, h, d] / sqrt(mean_d(x²) + eps) · scale[d]: an RMSNorm of each head by itself, in place (q_norm and k_norm
// of Gemma 3 and Qwen3).
//
// X [R, H · D] with rows of `stride` from `offset`; scale [D].
// Constants: WG threads of a workgroup. One workgroup normalises one head of one row; thread t takes features t, t + WG, ….
// Heads beyond the widest grid are taken by y.

struct Params { count: u32, H: u32, D: u32, offset: u32, stride: u32, gridX: u32, eps: f32 }

@group(0) @binding(0) var<storage, read_write> X: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = group.y * params.gridX + group.x;
  if (i >= params.count) { return; }
  let first = params.offset + i / params.H * params.stride + i % params.H * params.D;
  var squares = 0.0;
  for (var d = thread; d < params.D; d += WG) {
    let x = X[first + d];
    squares = fma(x, x, squares);
  }
  let inverse = 1.0 / sqrt(reduceSum(squares, thread) / f32(params.D) + params.eps);
  for (var d = thread; d < params.D; d += WG) { X[first + d] = X[first + d] * inverse * scale[d]; }
}
