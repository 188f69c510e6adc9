// D[r, h] = Σ_d (A[r, h, d] − B[r, h, d]) · G[r, h, d]: what a change from B to A makes of a metric to first order, by rows and heads.
// Where G is 0 the term is left out: a masked score is −infinity in A and B.
//
// A, B, G [R, H · D] contiguous f32; D [R, H].
// Constants: WG threads of a workgroup. One workgroup takes one head of one row, thread t features t, t + WG, ….
// Heads beyond the widest grid are taken by y.

struct Params { count: u32, D: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> A: array<f32>;
@group(0) @binding(1) var<storage, read> B: array<f32>;
@group(0) @binding(2) var<storage, read> G: array<f32>;
@group(0) @binding(3) var<storage, read_write> dots: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = group.y * params.gridX + group.x;
  if (i >= params.count) { return; }
  let first = i * params.D;
  var sum = 0.0;
  for (var d = thread; d < params.D; d += WG) {
    let g = G[first + d];
    if (g != 0.0) { sum = fma(A[first + d] - B[first + d], g, sum); }
  }
  sum = reduceSum(sum, thread);
  if (thread == 0u) { dots[i] = sum; }
}
