// Y[b · T + t, c] = P[t, c] + (t = 0 ? class[c] : E[b · (T − 1) + t − 1, c]): class token in front, positions added.
//
// E [B · (T − 1), C] embedded patches; class [C]; P [T, C] position table (f32, f16 or bf16, rows of `stride`).
// Y [B · T, C]. Constants: WG. One workgroup takes one row, thread t the quads of columns t, t + WG, ….

struct Params { R: u32, C: u32, T: u32, stride: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> E: array<f32>;
@group(0) @binding(1) var<storage, read> classToken: array<f32>;
@group(0) @binding(2) var<storage, read> P: array<WeightVec>;
@group(0) @binding(3) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.gridX + group.x;
  if (row >= params.R) { return; }
  let t = row % params.T;
  let patchRow = row / params.T * (params.T - 1u) + max(t, 1u) - 1u;
  let quads = params.stride / 4u;
  for (var q = thread; q < quads; q += WG) {
    let position = weight4(P[t * quads + q]);
    for (var i = 0u; i < 4u; i++) {
      let c = 4u * q + i;
      if (c < params.C) {
        let value = select(E[patchRow * params.C + c], classToken[c], t == 0u);
        Y[row * params.C + c] = value + position[i];
      }
    }
  }
}
