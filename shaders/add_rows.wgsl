// X[to[r], c] += S[from[r], c], no row of X twice.
//
// X [*, C], changed in place; S [*, C]; pairs [R] of (to, from). X and S are different buffers.
// Constants: WG. One workgroup adds one row, thread t columns t, t + WG, ….

struct Params { R: u32, C: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read_write> X: array<f32>;
@group(0) @binding(1) var<storage, read> S: array<f32>;
@group(0) @binding(2) var<storage, read> pairs: array<vec2u>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = group.y * params.gridX + group.x;
  if (i >= params.R) { return; }
  let to = pairs[i].x * params.C;
  let origin = pairs[i].y * params.C;
  for (var c = thread; c < params.C; c += WG) { X[to + c] += S[origin + c]; }
}
