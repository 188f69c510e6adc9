// Y[r, c] = act((X[r, c] − mean) · inverse · scale[c] + shift[c]) with the statistics of the image and group of (r, c).
//
// X, Y [images · P, C] contiguous; T [images, G] of (mean, inverse deviation); scale, shift [C].
// Constants: WG. One thread normalises one value, then steps on by the grid.

struct Params { count: u32, threads: u32, C: u32, G: u32, P: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> T: array<vec2f>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> shift: array<f32>;
@group(0) @binding(4) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) {
    let c = i % params.C;
    let image = i / (params.C * params.P);
    let own = T[image * params.G + c / (params.C / params.G)];
    Y[i] = activate((X[i] - own.x) * own.y * scale[c] + shift[c]);
  }
}
