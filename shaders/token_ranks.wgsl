// result[r, t] = how many logits of row r come before that of token ids[t]: the larger ones, and of equal ones the earlier.
//
// L [R, V] contiguous f32, V < 2²⁴; ids [T]; result [R, T].
// Constants: WG threads of a workgroup. One workgroup takes one row.

struct Params { R: u32, V: u32, T: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> L: array<f32>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> result: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let r = group.y * params.gridX + group.x;
  if (r >= params.R) { return; }
  let first = r * params.V;
  for (var t = 0u; t < params.T; t++) {
    let id = ids[t];
    let x = L[first + id];
    var before = 0.0;  // whole numbers below 2²⁴ are exact
    for (var v = thread; v < params.V; v += WG) {
      let y = L[first + v];
      if (y > x || (y == x && v < id)) { before += 1.0; }
    }
    let total = reduceSum(before, thread);
    if (thread == 0u) { result[r * params.T + t] = u32(total); }
  }
}
