// out[i] = ( log Σ_v exp(L[r, v]), L[r, ids[i, 0]], …, L[r, ids[i, count − 1]] ) with r = rows[i]: all that a metric needs
// of a row of logits.
//
// L [*, V] contiguous f32; ids [R, 1 + count]: a row of L and token ids; out [R, 1 + count].
// Constants: WG threads of a workgroup. One workgroup reduces one row, thread t values t, t + WG, ….

struct Params { R: u32, V: u32, count: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> L: array<f32>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = group.y * params.gridX + group.x;
  if (i >= params.R) { return; }
  let at = i * (1u + params.count);
  let first = ids[at] * params.V;
  var largest = L[first];
  for (var v = thread; v < params.V; v += WG) { largest = max(largest, L[first + v]); }
  largest = reduceMax(largest, thread);
  var total = 0.0;
  for (var v = thread; v < params.V; v += WG) { total += exp(L[first + v] - largest); }
  total = reduceSum(total, thread);
  if (thread == 0u) { result[at] = largest + log(total); }
  for (var t = thread + 1u; t <= params.count; t += WG) { result[at + t] = L[first + ids[at + t]]; }
}
