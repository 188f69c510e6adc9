// X[row, c] = edit(X[row, c], batch, position, head, feature) for the listed rows, where `edit` is a user's function:
//   fn edit(value: f32, batch: u32, position: u32, head: u32, feature: u32) -> f32
// Its text is put in front of this one.
//
// X [*, heads · size] with rows of `stride` from `offset`; rows [R] of (row, batch, position, 0).
// Constants: WG. One workgroup edits one row, thread t columns t, t + WG, ….

struct Params { R: u32, columns: u32, size: u32, offset: u32, stride: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read_write> X: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<vec4u>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let r = group.y * params.gridX + group.x;
  if (r >= params.R) { return; }
  let row = rows[r];
  for (var c = thread; c < params.columns; c += WG) {
    let at = params.offset + row.x * params.stride + c;
    X[at] = edit(X[at], row.y, row.z, c / params.size, c % params.size);
  }
}
