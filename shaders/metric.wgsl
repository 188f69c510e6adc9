// out[i] = what a metric gives for a run, from its logits x = L[row] and l = S[score, 0], the log-sum-exp of x:
//   kind 0  x[first] − x[second]       logit difference
//   kind 1  x[first]                   logit
//   kind 2  exp(x[first] − l)          probability
//   kind 3  x[first] − l               log-probability
//   kind 4  Σ_v W[first, v] · x[v]     a product with weights over the vocabulary
// The sum is that of one row alone, and in one order on every device: thread t of 64 adds up v = t, t + 64, …, then the sums
// of threads t and t + 32 are added, of t and t + 16, and so on.
//
// L [*, V], S [*, C], W [*, V] contiguous f32; runs [R, 5] = (row, score, kind, first, second); out [R].
// Constants: WG threads of a workgroup. One workgroup computes one run.

struct Params { R: u32, V: u32, C: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> L: array<f32>;
@group(0) @binding(1) var<storage, read> S: array<f32>;
@group(0) @binding(2) var<storage, read> W: array<f32>;
@group(0) @binding(3) var<storage, read> runs: array<u32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = group.y * params.gridX + group.x;
  if (i >= params.R) { return; }
  let row = runs[5u * i] * params.V;
  let lse = S[runs[5u * i + 1u] * params.C];
  let kind = runs[5u * i + 2u];
  let first = runs[5u * i + 3u];
  if (kind == 4u) {
    var total = 0.0;
    for (var v = thread; v < params.V; v += WG) { total += W[first * params.V + v] * L[row + v]; }
    total = reduceSum(total, thread);
    if (thread == 0u) { result[i] = total; }
    return;
  }
  if (thread > 0u) { return; }
  let logit = L[row + first];
  switch kind {
    case 0u: { result[i] = logit - L[row + runs[5u * i + 4u]]; }
    case 2u: { result[i] = exp(logit - lse); }
    case 3u: { result[i] = logit - lse; }
    default: { result[i] = logit; }
  }
}
