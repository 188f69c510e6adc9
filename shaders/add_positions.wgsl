// Y[r, c] = X[r, c] + Σ_k weight[r, k] · P[index[r, k], c], k < 4: learned positions between which a patch lies.
//
// X [R, C] embedded patches; P [*, C] position table (f32, f16 or bf16, rows of `stride`); corners [R, 4] of (index, weight as
// f32 bits); Y [R, C]. Constants: WG. One workgroup takes one row, thread t the quads of columns t, t + WG, ….

struct Params { R: u32, C: u32, stride: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> P: array<WeightVec>;
@group(0) @binding(2) var<storage, read> corners: array<vec2u>;
@group(0) @binding(3) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.gridX + group.x;
  if (row >= params.R) { return; }
  let quads = params.stride / 4u;
  for (var q = thread; q < quads; q += WG) {
    var position = vec4f(0.0);
    for (var k = 0u; k < 4u; k++) {
      let corner = corners[4u * row + k];
      position = fma(vec4f(bitcast<f32>(corner.y)), weight4(P[corner.x * quads + q]), position);
    }
    for (var i = 0u; i < 4u; i++) {
      let c = 4u * q + i;
      if (c < params.C) { Y[row * params.C + c] = X[row * params.C + c] + position[i]; }
    }
  }
}
