// X[patch, (channel, y, x)] = pixels[channel, top + y, left + x]: the rows that a patch embedding multiplies with its
// convolution's weights [C, 3 · S · S].
//
// pixels [B, 3, H, W] f32. X [B · (H / S) · (W / S), 3 · S · S], patches row by row within each image.
// Constants: WG. One thread copies one value, then steps on by the grid.

struct Params { count: u32, threads: u32, H: u32, W: u32, S: u32 }

@group(0) @binding(0) var<storage, read> pixels: array<f32>;
@group(0) @binding(1) var<storage, read_write> X: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let columns = 3u * params.S * params.S;
  let across = params.W / params.S;
  let perImage = (params.H / params.S) * across;
  for (var i = id.x; i < params.count; i += params.threads) {
    let patchIndex = i / columns;
    let within = i % columns;
    let image = patchIndex / perImage;
    let p = patchIndex % perImage;
    let channel = within / (params.S * params.S);
    let y = (p / across) * params.S + (within / params.S) % params.S;
    let x = (p % across) * params.S + within % params.S;
    X[i] = pixels[((image * 3u + channel) * params.H + y) * params.W + x];
  }
}
