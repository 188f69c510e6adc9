// Y[r, c] = (X[r, c] − mean_r) / sqrt(var_r + eps) · scale[c] + shift[c]       (HAS_SHIFT: LayerNorm)
// Y[r, c] = X[r, c] / sqrt(mean_r(x²) + eps) · scale[c]                         (without: RMSNorm)
//
// X, Y [R, C] contiguous f32; scale, shift [C]. The variance is that of the deviations from the mean (two passes).
// Constants: WG threads of a workgroup, HAS_SHIFT.
// One workgroup normalises one row; thread t takes columns t, t + WG, …. Rows beyond the widest grid are taken by y.

struct Params { R: u32, C: u32, gridX: u32, eps: f32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;
//@if HAS_SHIFT
@group(0) @binding(3) var<storage, read> shift: array<f32>;
//@endif

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.gridX + group.x;
  if (row >= params.R) { return; }
  let first = row * params.C;
  var mean = 0.0;
  //@if HAS_SHIFT
  var total = 0.0;
  for (var c = thread; c < params.C; c += WG) { total += X[first + c]; }
  mean = reduceSum(total, thread) / f32(params.C);
  //@endif
  var squares = 0.0;
  for (var c = thread; c < params.C; c += WG) {
    let d = X[first + c] - mean;
    squares = fma(d, d, squares);
  }
  let inverse = 1.0 / sqrt(reduceSum(squares, thread) / f32(params.C) + params.eps);
  for (var c = thread; c < params.C; c += WG) {
    var value = (X[first + c] - mean) * inverse * scale[c];
    //@if HAS_SHIFT
    value = value + shift[c];
    //@endif
    Y[first + c] = value;
  }
}
