// X'[i] (+)= Y'[i] · act'(X[i])                          the gradient of act(X), given that of it
// with HAS_GATE, of act(X) · G:
// X'[i] (+)= Y'[i] · act'(X[i]) · G[i],   G'[i] (+)= Y'[i] · act(X[i])
//
// All `count` f32 values each; dX, dG are left out where nobody asks for them.
// Constants: WG, HAS_GATE, HAS_X, HAS_G, BEFORE_G = HAS_GATE + HAS_X, ADD_X, ADD_G (added to what is there). The prelude defines act as `activate` and its
// derivative as `slope`.
// One thread takes one value; threads beyond the widest grid take further values in steps of the grid.

struct Params { count: u32, threads: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> dY: array<f32>;
//@if HAS_GATE
@group(0) @binding(2) var<storage, read> G: array<f32>;
//@endif
//@if HAS_X
@group(0) @binding(2u + HAS_GATE) var<storage, read_write> dX: array<f32>;
//@endif
//@if HAS_G
@group(0) @binding(2u + BEFORE_G) var<storage, read_write> dG: array<f32>;
//@endif

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) {
    let x = X[i];
    let y = dY[i];
    //@if HAS_X
    var value = y * slope(x);
    //@if HAS_GATE
    value = value * G[i];
    //@endif
    //@if ADD_X
    value += dX[i];
    //@endif
    dX[i] = value;
    //@endif
    //@if HAS_G
    var share = y * activate(x);
    //@if ADD_G
    share += dG[i];
    //@endif
    dG[i] = share;
    //@endif
  }
}
