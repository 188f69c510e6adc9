// Mean and sum of squared deviations of a tile: `rows` pixels of one image, the channels of one group.
//
// X [images · P, C] contiguous. S [images, G, tiles] of (mean, M2).
// Constants: WG. One workgroup takes one tile; grid (tile, group, image). Two passes over the tile, so that a large mean costs
// no digits.

struct Params { C: u32, G: u32, P: u32, rows: u32, tiles: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> S: array<vec2f>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let size = params.C / params.G;
  let firstRow = group.x * params.rows;
  let count = min(params.rows, params.P - firstRow) * size;
  let base = (group.z * params.P + firstRow) * params.C + group.y * size;
  var total = 0.0;
  for (var i = thread; i < count; i += WG) { total += X[base + (i / size) * params.C + i % size]; }
  let mean = reduceSum(total, thread) / f32(count);
  var squares = 0.0;
  for (var i = thread; i < count; i += WG) {
    let d = X[base + (i / size) * params.C + i % size] - mean;
    squares = fma(d, d, squares);
  }
  let m2 = reduceSum(squares, thread);
  if (thread == 0u) { S[(group.z * params.G + group.y) * params.tiles + group.x] = vec2f(mean, m2); }
}
