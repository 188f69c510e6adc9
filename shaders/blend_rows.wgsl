// Y[yFirst + r, c] = Σ_k share[r, k] · X[index[r, k], c], k < 4: a row between four others.
//
// X [*, C] and Y contiguous, different buffers; blends [R, 4] of (index, share as f32 bits).
// Constants: WG. One workgroup makes one row, thread t columns t, t + WG, …; the shares are added in order.

struct Params { R: u32, C: u32, yFirst: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> blends: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.gridX + group.x;
  if (row >= params.R) { return; }
  let to = (params.yFirst + row) * params.C;
  for (var c = thread; c < params.C; c += WG) {
    var sum = 0.0;
    for (var k = 0u; k < 4u; k++) {
      let blend = blends[4u * row + k];
      sum = fma(bitcast<f32>(blend.y), X[blend.x * params.C + c], sum);
    }
    Y[to + c] = sum;
  }
}
