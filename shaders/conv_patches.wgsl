// X[pixel, (ky, kx, c)] = M[image, y · S + ky − top, x · S + kx − left, c], 0 beyond the map: what a 3 × 3 convolution sees
// of a channels-last map, as the rows that a product with its weights [out, (ky, kx, c)] reads. A map that is enlarged
// before is never written down: of H × W pixels the nearest one of ownH × ownW is read, as torch's "nearest" does.
//
// M [images · ownH · ownW, C], X [count / 9 C, 9 C], both contiguous. Row 0 of X is pixel `first` of all images' outputs,
// outH × outW each. VEC4: C is a multiple of 4, and all counts of values are of fours.
// Constants: WG, VEC4. One thread copies one value (or four), then steps on by the grid.

struct Params {
  count: u32, threads: u32, first: u32, C: u32,
  ownH: u32, ownW: u32, H: u32, W: u32,
  outH: u32, outW: u32, S: u32, top: u32, left: u32,
}

//@if VEC4
alias Value = vec4f;
//@else
alias Value = f32;
//@endif

@group(0) @binding(0) var<storage, read> M: array<Value>;
@group(0) @binding(1) var<storage, read_write> X: array<Value>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) {
    let c = i % params.C;
    let tap = (i / params.C) % 9u;
    let pixel = params.first + i / (9u * params.C);
    let image = pixel / (params.outH * params.outW);
    let within = pixel % (params.outH * params.outW);
    // Above and left of the map the numbers wrap around, so one comparison finds all that lies beyond it.
    let y = (within / params.outW) * params.S + tap / 3u - params.top;
    let x = (within % params.outW) * params.S + tap % 3u - params.left;
    var value = Value();
    if (y < params.H && x < params.W) {
      let row = (image * params.ownH + y * params.ownH / params.H) * params.ownW + x * params.ownW / params.W;
      value = M[row * params.C + c];
    }
    X[i] = value;
  }
}
