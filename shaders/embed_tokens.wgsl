// Y[r, c] = T[ids[r], c] + P[positions[r], c]; without HAS_POSITIONS only the first table.
//
// T [vocabulary, C] and P [positions, C] are weights in f32, f16 or bf16 with rows padded to `stride` elements.
// T may come in parts: bound are rows tFirst to tFirst + tRows; other ids are left to the dispatch of their part.
// `index` holds per row the id and the position. Y [R, C] contiguous.
// Constants: WG, HAS_POSITIONS. One workgroup takes one row, thread t the quads of columns t, t + WG, ….

struct Params { R: u32, C: u32, stride: u32, tFirst: u32, tRows: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> index: array<vec2u>;
@group(0) @binding(1) var<storage, read> T: array<WeightVec>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;
//@if HAS_POSITIONS
@group(0) @binding(3) var<storage, read> P: array<WeightVec>;
//@endif

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.gridX + group.x;
  if (row >= params.R) { return; }
  let id = index[row].x - params.tFirst;
  if (id >= params.tRows) { return; }
  let quads = params.stride / 4u;
  for (var q = thread; q < quads; q += WG) {
    var value = weight4(T[id * quads + q]);
    //@if HAS_POSITIONS
    value = value + weight4(P[index[row].y * quads + q]);
    //@endif
    for (var i = 0u; i < 4u; i++) {
      if (4u * q + i < params.C) { Y[row * params.C + 4u * q + i] = value[i]; }
    }
  }
}
