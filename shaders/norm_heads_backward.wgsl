// G[r, h, d] ← i · (u_d − x̂_d · mean(u · x̂)),  u = G[r, h, d] · scale[d],  x̂ = X[r, h, d] · i,  i = 1 / sqrt(mean_d(x²) + eps):
// from the gradient of an RMSNorm of each head (norm_heads.wgsl) to that of what it was of, in place.
//
// X [R, H · D] contiguous; G [R, H · D] with rows of `stride` from `offset`; scale [D].
// Constants: WG threads of a workgroup. One workgroup takes one head of one row; thread t takes features t, t + WG, ….
// Heads beyond the widest grid are taken by y.

struct Params { count: u32, H: u32, D: u32, offset: u32, stride: u32, gridX: u32, eps: f32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read_write> G: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = group.y * params.gridX + group.x;
  if (i >= params.count) { return; }
  let at = i * params.D;
  let first = params.offset + i / params.H * params.stride + i % params.H * params.D;
  var squares = 0.0;
  var along = 0.0;
  for (var d = thread; d < params.D; d += WG) {
    let x = X[at + d];
    squares = fma(x, x, squares);
    along = fma(G[first + d] * scale[d], x, along);
  }
  let inverse = 1.0 / sqrt(reduceSum(squares, thread) / f32(params.D) + params.eps);
  let slope = reduceSum(along, thread) / f32(params.D) * inverse * inverse;
  for (var d = thread; d < params.D; d += WG) {
    G[first + d] = inverse * (G[first + d] * scale[d] - X[at + d] * slope);
  }
}
