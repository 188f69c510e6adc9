// G[e, h, j] ← P[e, h, j] · (G[e, h, j] − Σ_i P[e, h, i] · G[e, h, i]) over the keys that count for entry e; 0 beyond them. In place:
// from the gradient of a pattern P to that of the scores whose softmax it is. Masked keys have P = 0, and so their scores no gradient.
//
// G, P [entries, H, pitch]; entries as in attention_scores_operands.wgsl.
// Constants: WG threads of a workgroup. One workgroup takes one (entry, head), thread t keys t, t + WG, ….

struct Params { H: u32, pitch: u32, firstEntry: u32 }

@group(0) @binding(0) var<storage, read> entries: array<vec4u>;
@group(0) @binding(1) var<storage, read> P: array<f32>;
@group(0) @binding(2) var<storage, read_write> G: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let e = group.y;
  let count = entries[params.firstEntry + e].w;
  let first = (e * params.H + group.x) * params.pitch;
  var sum = 0.0;
  for (var j = thread; j < count; j += WG) { sum = fma(P[first + j], G[first + j], sum); }
  sum = reduceSum(sum, thread);
  for (var j = thread; j < params.pitch; j += WG) {
    G[first + j] = select(0.0, P[first + j] * (G[first + j] - sum), j < count);
  }
}
