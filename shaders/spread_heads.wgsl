// Y[r · H + h, c] = X[r, c] where c belongs to head h (c / D = h), else 0: each head of a row by itself, so that a product with
// Y is what each head alone makes.
//
// X [R, H · D] with rows of `stride` from `offset`; Y [R · H, H · D] contiguous.
// Constants: WG. One workgroup writes one row of Y, thread t columns t, t + WG, …. Rows beyond the widest grid are taken by y.

struct Params { count: u32, H: u32, D: u32, offset: u32, stride: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = group.y * params.gridX + group.x;
  if (i >= params.count) { return; }
  let C = params.H * params.D;
  let origin = params.offset + i / params.H * params.stride;
  for (var c = thread; c < C; c += WG) {
    Y[i * C + c] = select(0.0, X[origin + c], c / params.D == i % params.H);
  }
}
