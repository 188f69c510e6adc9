// P[b, c, y, x] (+)= X[r, i]: the gradient of pixels, given that of the rows that image_patches.wgsl makes of them. A pixel belongs to
// one row, or to none: then it has no effect.
//
// P [B, 3, H, W]; X [B · ⌊H / S⌋ · ⌊W / S⌋, 3 · S · S].
// Constants: WG, ACCUMULATE. One thread takes one pixel value, then steps on by the grid.

struct Params { count: u32, threads: u32, H: u32, W: u32, S: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> P: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let down = params.H / params.S;
  let across = params.W / params.S;
  for (var i = id.x; i < params.count; i += params.threads) {
    let x = i % params.W;
    let y = i / params.W % params.H;
    let plane = i / (params.W * params.H);
    let row = (plane / 3u * down + y / params.S) * across + x / params.S;
    let column = (plane % 3u * params.S + y % params.S) * params.S + x % params.S;
    let inside = x / params.S < across && y / params.S < down;
    var value = 0.0;
    if (inside) { value = X[row * 3u * params.S * params.S + column]; }
    //@if ACCUMULATE
    value += P[i];
    //@endif
    P[i] = value;
  }
}
