// Y[yFirst + r, c] = X[index[r], c].
//
// X [*, C] with rows of `xStride` from `xOffset`; Y likewise; index [R] u32. X and Y are different buffers.
// Constants: WG. One workgroup copies one row, thread t columns t, t + WG, ….

struct Params { R: u32, C: u32, xOffset: u32, xStride: u32, yOffset: u32, yStride: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.gridX + group.x;
  if (row >= params.R) { return; }
  let origin = params.xOffset + index[row] * params.xStride;
  let to = params.yOffset + row * params.yStride;
  for (var c = thread; c < params.C; c += WG) { Y[to + c] = X[origin + c]; }
}
