// Statistics of a group from those of its tiles, in their order (Chan, Golub and LeVeque, 1979): mean and 1 / sqrt(var + eps).
//
// S [groups, tiles] of (mean, M2), groups those of all images. T [groups] of (mean, inverse deviation). All tiles are of
// `rows` pixels but the last; a pixel has `size` values.
// Constants: WG. One thread takes one group.

struct Params { groups: u32, size: u32, P: u32, rows: u32, tiles: u32, eps: f32 }

@group(0) @binding(0) var<storage, read> S: array<vec2f>;
@group(0) @binding(1) var<storage, read_write> T: array<vec2f>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.groups) { return; }
  var mean = 0.0;
  var m2 = 0.0;
  var n = 0.0;
  for (var tile = 0u; tile < params.tiles; tile++) {
    let own = f32(min(params.rows, params.P - tile * params.rows) * params.size);
    let other = S[id.x * params.tiles + tile];
    let delta = other.x - mean;
    let all = n + own;
    mean = fma(delta, own / all, mean);
    m2 += other.y + delta * delta * (n * own / all);
    n = all;
  }
  T[id.x] = vec2f(mean, 1.0 / sqrt(m2 / n + params.eps));
}
