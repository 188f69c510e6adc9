// Y[i] = act(X[i]) or, with HAS_GATE, act(X[i]) · G[i]: the activation of an MLP where a hook needs it apart from its product.
//
// X, G, Y: `count` f32 values each. Constants: WG, HAS_GATE. The prelude defines act as `activate`.
// One thread computes one value; threads beyond the widest grid take further values in steps of the grid.

struct Params { count: u32, threads: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
//@if HAS_GATE
@group(0) @binding(2) var<storage, read> G: array<f32>;
//@endif

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) {
    var value = activate(X[i]);
    //@if HAS_GATE
    value = value * G[i];
    //@endif
    Y[i] = value;
  }
}
