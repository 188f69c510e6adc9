// G[i] ← G[i] · scale: from the gradient of scores to that of the products Q · Kᵀ, in place.
// SOFTCAP: G[i] ← G[i] · scale · (1 − (S[i] / cap)²), the derivative of S = cap · tanh(scale · x / cap).
//
// G, S: `count` f32 values each; where G is 0 (masked keys, whose score is −infinity) it stays 0.
// Constants: WG. One thread takes one value; threads beyond the widest grid take further values in steps of the grid.

struct Params { count: u32, threads: u32, scale: f32, cap: f32 }

@group(0) @binding(0) var<storage, read_write> G: array<f32>;
//@if SOFTCAP
@group(0) @binding(1) var<storage, read> S: array<f32>;
//@endif

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) {
    var value = G[i] * params.scale;
    //@if SOFTCAP
    if (value != 0.0) {
      let t = S[i] / params.cap;
      value = value * (1.0 - t * t);
    }
    //@endif
    G[i] = value;
  }
}
