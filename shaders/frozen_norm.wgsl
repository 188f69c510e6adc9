// X[r, c] ← (X[r, c] − mean_r) / sqrt(var_s + eps) · scale[c]        (HAS_MEAN: LayerNorm)
// X[r, c] ← X[r, c] / sqrt(mean_s(x²) + eps) · scale[c]              (without: RMSNorm)
// where the variance is that of the row S, in place: a norm whose scale is held at that row is linear, so that the parts of the
// row, each sent through it, add up to the normalised row but for its shift.
//
// X [*, C] contiguous f32, of which R rows from `first` on; S [C] from `sOffset`; scale [C].
// Constants: WG threads of a workgroup, HAS_MEAN. One workgroup takes one row, thread t columns t, t + WG, ….

struct Params { R: u32, C: u32, first: u32, sOffset: u32, gridX: u32, eps: f32 }

@group(0) @binding(0) var<storage, read_write> X: array<f32>;
@group(0) @binding(1) var<storage, read> S: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.gridX + group.x;
  if (row >= params.R) { return; }
  let origin = (params.first + row) * params.C;
  var ownMean = 0.0;
  var mean = 0.0;
  //@if HAS_MEAN
  var total = 0.0;
  for (var c = thread; c < params.C; c += WG) { total += S[params.sOffset + c]; }
  mean = reduceSum(total, thread) / f32(params.C);
  total = 0.0;
  for (var c = thread; c < params.C; c += WG) { total += X[origin + c]; }
  ownMean = reduceSum(total, thread) / f32(params.C);
  //@endif
  var squares = 0.0;
  for (var c = thread; c < params.C; c += WG) {
    let d = S[params.sOffset + c] - mean;
    squares = fma(d, d, squares);
  }
  let inverse = 1.0 / sqrt(reduceSum(squares, thread) / f32(params.C) + params.eps);
  for (var c = thread; c < params.C; c += WG) { X[origin + c] = (X[origin + c] - ownMean) * inverse * scale[c]; }
}
