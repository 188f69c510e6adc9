// X[row_t, c] += Σ_i share_i · Y[from_i, c]   over the shares i of target t, in their order: what copies and sums of rows do to gradients.
//
// X [*, C] with rows of `xStride` from `xOffset`; Y likewise; targets [T, 3] = (row, first share, shares), no row twice;
// shares [*, 2] = (from, bits of the share).
// Constants: WG. One workgroup takes one target, thread t columns t, t + WG, …. Targets beyond the widest grid are taken by y.

struct Params { T: u32, C: u32, xOffset: u32, xStride: u32, yOffset: u32, yStride: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read_write> X: array<f32>;
@group(0) @binding(1) var<storage, read> Y: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> shares: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let t = group.y * params.gridX + group.x;
  if (t >= params.T) { return; }
  let to = params.xOffset + targets[3u * t] * params.xStride;
  let first = targets[3u * t + 1u];
  let end = first + targets[3u * t + 2u];
  for (var c = thread; c < params.C; c += WG) {
    var value = X[to + c];
    for (var i = first; i < end; i++) {
      value = fma(bitcast<f32>(shares[2u * i + 1u]), Y[params.yOffset + shares[2u * i] * params.yStride + c], value);
    }
    X[to + c] = value;
  }
}
