// Y[g, c] = mean over the rows i of group g of X[rows[i], c]: the source of mean ablation.
//
// X [*, C] rows of `stride` from `offset`; groups [R] of (first, count) into rows; Y [R, C].
// Constants: WG. One workgroup averages one group, thread t columns t, t + WG, …; rows are added in order.

struct Params { R: u32, C: u32, offset: u32, stride: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> groups: array<vec2u>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let g = group.y * params.gridX + group.x;
  if (g >= params.R) { return; }
  let first = groups[g].x;
  let count = groups[g].y;
  for (var c = thread; c < params.C; c += WG) {
    var total = 0.0;
    for (var i = first; i < first + count; i++) { total += X[params.offset + rows[i] * params.stride + c]; }
    Y[g * params.C + c] = total / f32(count);
  }
}
