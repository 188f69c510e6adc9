// result[r] = √Σ_c X[r, c]²: the Euclidean norm of every row.
//
// X [R, C] contiguous f32; result [R].
// Constants: WG threads of a workgroup. One workgroup takes one row.

struct Params { R: u32, C: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let r = group.y * params.gridX + group.x;
  if (r >= params.R) { return; }
  var total = 0.0;
  for (var c = thread; c < params.C; c += WG) {
    let x = X[r * params.C + c];
    total = fma(x, x, total);
  }
  total = reduceSum(total, thread);
  if (thread == 0u) { result[r] = sqrt(total); }
}
