// X[row, c] of the addressed elements becomes, for source value s (from Y, or from a constant 0):
//   OP 0 replace s · 1 zero 0 · 2 add x + a·s · 3 scale a·x · 4 interpolate (1 − a)·x + a·s
//
// Each edit is 8 words: target row, first column, columns, source row, alpha (f32 bits), index of its counter, -, -.
// X [*, *] with rows of `xStride` from `xOffset`; Y rows of `yStride` from `yOffset` with the source in the same columns as the
// target, minus `yColumn`. Without EXTERNAL Y is X itself, and then no source row may also be a target.
// `fired[counter]` counts the elements written, so that an edit that did not happen is noticed.
// Constants: WG, OP, EXTERNAL. One workgroup makes one edit, thread t takes columns t, t + WG, ….

struct Params { count: u32, gridX: u32, xOffset: u32, xStride: u32, yOffset: u32, yStride: u32, yColumn: u32 }

@group(0) @binding(0) var<storage, read_write> X: array<f32>;
@group(0) @binding(1) var<storage, read> edits: array<u32>;
@group(0) @binding(2) var<storage, read_write> fired: array<atomic<u32>>;
//@if EXTERNAL
@group(0) @binding(3) var<storage, read> Y: array<f32>;
//@endif

fn source(row: u32, c: u32) -> f32 {
  let at = params.yOffset + row * params.yStride + c - params.yColumn;
  //@if EXTERNAL
  return Y[at];
  //@else
  return X[at];
  //@endif
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = group.y * params.gridX + group.x;
  if (i >= params.count) { return; }
  let to = params.xOffset + edits[8u * i] * params.xStride;
  let first = edits[8u * i + 1u];
  let end = first + edits[8u * i + 2u];
  let origin = edits[8u * i + 3u];
  let alpha = bitcast<f32>(edits[8u * i + 4u]);
  var written = 0u;
  for (var c = first + thread; c < end; c += WG) {
    let x = X[to + c];
    var value = 0.0;
    if (OP == 0u) { value = source(origin, c); }
    if (OP == 2u) { value = fma(alpha, source(origin, c), x); }
    if (OP == 3u) { value = alpha * x; }
    if (OP == 4u) { value = fma(alpha, source(origin, c), (1.0 - alpha) * x); }
    X[to + c] = value;
    written++;
  }
  if (written > 0u) { atomicAdd(&fired[edits[8u * i + 5u]], written); }
}
