// D[row, v] = ∂m / ∂L[row, v] for each run's metric m of its logits x = L[row] (metric.wgsl), with p_v = exp(x[v] − l), l = S[score, 0]:
//   kind 0  [v = first] − [v = second]             logit difference
//   kind 1  [v = first]                            logit
//   kind 2  p_first · ([v = first] − p_v)          probability
//   kind 3  [v = first] − p_v                      log-probability
//   kind 4  W[first, v]                            a product with weights over the vocabulary
//
// L, D [*, V], S [*, C], W [*, V] contiguous f32; runs [R, 5] = (row, score, kind, first, second), no row twice. Other rows of D stay.
// Constants: WG threads of a workgroup. One workgroup takes one run, thread t logits t, t + WG, ….

struct Params { R: u32, V: u32, C: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> L: array<f32>;
@group(0) @binding(1) var<storage, read> S: array<f32>;
@group(0) @binding(2) var<storage, read> W: array<f32>;
@group(0) @binding(3) var<storage, read> runs: array<u32>;
@group(0) @binding(4) var<storage, read_write> D: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = group.y * params.gridX + group.x;
  if (i >= params.R) { return; }
  let row = runs[5u * i] * params.V;
  let lse = S[runs[5u * i + 1u] * params.C];
  let kind = runs[5u * i + 2u];
  let first = runs[5u * i + 3u];
  let second = runs[5u * i + 4u];
  for (var v = thread; v < params.V; v += WG) {
    var value = select(0.0, 1.0, v == first);
    switch kind {
      case 0u: { value -= select(0.0, 1.0, v == second); }
      case 2u: { value = exp(L[row + first] - lse) * (value - exp(L[row + v] - lse)); }
      case 3u: { value -= exp(L[row + v] - lse); }
      case 4u: { value = W[first * params.V + v]; }
      default: {}
    }
    D[row + v] = value;
  }
}
