// X'[r, c] (+)= i_r · (u_c − mean(u) − x̂_c · mean(u · x̂)),  u = Y'[r, c] · scale[c],  x̂ = (X[r, c] − mean_r) · i_r   (HAS_SHIFT: LayerNorm)
// X'[r, c] (+)= i_r · (u_c − x̂_c · mean(u · x̂)),  x̂ = X[r, c] · i_r                                             (without: RMSNorm)
// with i_r = 1 / sqrt(mean of squares or variance + eps) as in layer_norm.wgsl; X' and Y' are the gradients of X and Y.
//
// X, Y', X' [R, C] contiguous f32; scale [C].
// Constants: WG threads of a workgroup, HAS_SHIFT, ACCUMULATE (added to what is there).
// One workgroup takes one row; thread t takes columns t, t + WG, …. Rows beyond the widest grid are taken by y.

struct Params { R: u32, C: u32, gridX: u32, eps: f32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read> dY: array<f32>;
@group(0) @binding(3) var<storage, read_write> dX: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.gridX + group.x;
  if (row >= params.R) { return; }
  let first = row * params.C;
  let count = f32(params.C);
  var mean = 0.0;
  //@if HAS_SHIFT
  var total = 0.0;
  for (var c = thread; c < params.C; c += WG) { total += X[first + c]; }
  mean = reduceSum(total, thread) / count;
  //@endif
  var squares = 0.0;
  var sum = 0.0;
  var along = 0.0;
  for (var c = thread; c < params.C; c += WG) {
    let d = X[first + c] - mean;
    let u = dY[first + c] * scale[c];
    squares = fma(d, d, squares);
    sum += u;
    along = fma(u, d, along);
  }
  let inverse = 1.0 / sqrt(reduceSum(squares, thread) / count + params.eps);
  var u0 = 0.0;
  //@if HAS_SHIFT
  u0 = reduceSum(sum, thread) / count;
  //@endif
  let slope = reduceSum(along, thread) / count * inverse * inverse;
  for (var c = thread; c < params.C; c += WG) {
    let value = inverse * (dY[first + c] * scale[c] - u0 - (X[first + c] - mean) * slope);
    //@if ACCUMULATE
    dX[first + c] += value;
    //@else
    dX[first + c] = value;
    //@endif
  }
}
