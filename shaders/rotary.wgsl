// Y[r, h, d] = X[r, h, d] · cos(p_r · f_d) + rotate(X)[r, h, d] · sin(p_r · f_d), as Hugging Face lays LLaMA out:
// rotate(X)[d] = −X[d + D/2] for the first half of the features, X[d − D/2] for the second;
// f_d = theta^(−2 (d mod D/2) / D). cos and sin come from a table, computed in f64 and rounded once.
//
// X [R, H · D] with rows of `stride` from `offset`, changed in place; positions [R]; table [positions, D/2] of (cos, sin).
// Constants: WG. One thread turns one pair (d, d + D/2), then steps on by the grid.

struct Params { count: u32, threads: u32, H: u32, half: u32, offset: u32, stride: u32 }

@group(0) @binding(0) var<storage, read_write> X: array<f32>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<vec2f>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) {
    let d = i % params.half;
    let h = i / params.half % params.H;
    let row = i / (params.half * params.H);
    let at = params.offset + row * params.stride + h * 2u * params.half + d;
    let turn = table[positions[row] * params.half + d];
    let x = X[at];
    let y = X[at + params.half];
    //@if BACK
    // BACK: the other way, as gradients are turned.
    X[at] = x * turn.x + y * turn.y;
    X[at + params.half] = y * turn.x - x * turn.y;
    //@else
    X[at] = x * turn.x - y * turn.y;
    X[at + params.half] = y * turn.x + x * turn.y;
    //@endif
  }
}
