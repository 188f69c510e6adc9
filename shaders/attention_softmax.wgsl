// P[e, h, j] = exp(S[e, h, j] − max_j) / Σ_j exp(S[e, h, j] − max_j) over the keys that count for entry e; 0 beyond them. In place.
//
// S = P [entries, H, pitch]; entries as in attention_scores_operands.wgsl. Masked keys (−infinity) give exact zeros, so
// the sum has the same bits whether they count or not.
// Constants: WG threads of a workgroup. One workgroup normalises one (entry, head), thread t keys t, t + WG, ….

struct Params { H: u32, pitch: u32, firstEntry: u32 }

const MINUS_INFINITY = 0xff800000u;  // bits: WGSL may assume that no float is infinite

@group(0) @binding(0) var<storage, read> entries: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> S: array<f32>;
//@if LOWER
// LOWER: entries do not see the keys before firsts[e]. Threads take the keys from there on, then those before, so that
// the sum has the same bits at whatever key the columns begin.
@group(0) @binding(2) var<storage, read> firsts: array<u32>;
//@endif
//@if CUT
// CUT: there may be entries all of whose keys are masked; their pattern is 0.
//@endif

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let e = group.y;
  let count = entries[params.firstEntry + e].w;
  let first = (e * params.H + group.x) * params.pitch;
  //@if LOWER
  let lower = firsts[params.firstEntry + e];
  var largest = S[first + lower];
  //@else
  var largest = S[first];
  //@endif
  for (var j = thread; j < count; j += WG) { largest = max(largest, S[first + j]); }
  largest = reduceMax(largest, thread);
  var total = 0.0;
  //@if LOWER
  for (var i = thread; i < count; i += WG) {
    let j = (i + lower) % count;
  //@else
  for (var j = thread; j < count; j += WG) {
  //@endif
    let score = S[first + j];
    let value = select(exp(score - largest), 0.0, bitcast<u32>(score) == MINUS_INFINITY);
    S[first + j] = value;
    total += value;
  }
  total = reduceSum(total, thread);
  //@if CUT
  total = select(total, 1.0, total == 0.0);
  //@endif
  for (var j = thread; j < params.pitch; j += WG) {
    S[first + j] = select(0.0, S[first + j] / total, j < count);
  }
}
