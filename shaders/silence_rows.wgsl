// Y[r, :] becomes 0 for those of some rows r whose Z[r, :] is all 0: what attends to nothing gets nothing, not even a bias.
//
// Z [R, D], Y [R, C] contiguous f32; rows [N].
// Constants: WG threads of a workgroup. One workgroup takes one row.

struct Params { N: u32, D: u32, C: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> Z: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = group.y * params.gridX + group.x;
  if (i >= params.N) { return; }
  let row = rows[i];
  var largest = 0.0;
  for (var d = thread; d < params.D; d += WG) { largest = max(largest, select(1.0, 0.0, Z[row * params.D + d] == 0.0)); }
  if (reduceMax(largest, thread) > 0.0) { return; }
  for (var c = thread; c < params.C; c += WG) { Y[row * params.C + c] = 0.0; }
}
