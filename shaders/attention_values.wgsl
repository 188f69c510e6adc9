// Z[o_e, h, d] = Σ_j P[e, h, j] · V[keys_t[j], g(h), d]      for the entries e of each tile t
//
// P [entries, H, pitch], 0 for keys that an entry does not see; V [*, G, D], rows of any stride; Z [*, H, D];
// entries, tiles, keys and g as in attention_scores.wgsl (o_e is an entry's output row).
// Constants: SG, MR, STEP keys at a time, SUBGROUPS (else lanes are threads, each reading for itself), VEC4.
//
// One workgroup is one subgroup and computes MR entries × (4 · SG) features of one head: lane l owns features
// d0 + 4 l to d0 + 4 l + 3; a row of P is loaded once per SG keys and spread by broadcast.
// Every Z is one chain of fma over ascending j; the zeros of unseen keys at its end change nothing.

struct Params {
  H: u32, G: u32, D: u32, pitch: u32,
  vOffset: u32, vStride: u32, zOffset: u32, zStride: u32,
  firstTile: u32, firstEntry: u32,
}

@group(0) @binding(0) var<storage, read> P: array<f32>;
//@if VEC4
@group(0) @binding(1) var<storage, read> V: array<vec4f>;
//@else
@group(0) @binding(1) var<storage, read> V: array<f32>;
//@endif
@group(0) @binding(2) var<storage, read> entries: array<vec4u>;
@group(0) @binding(3) var<storage, read> tiles: array<vec4u>;
@group(0) @binding(4) var<storage, read> keys: array<u32>;
@group(0) @binding(5) var<storage, read_write> Z: array<f32>;

fn value4(start: u32, d: u32) -> vec4f {
  //@if VEC4
  return V[(start + min(d, params.D - 4u)) / 4u];
  //@else
  var value = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (d + i < params.D) { value[i] = V[start + d + i]; }
  }
  return value;
  //@endif
}

fn finish(sum: vec4f, tile: vec4u, r: u32, d: u32, h: u32) {
  if (r >= tile.y) { return; }
  let first = params.zOffset + entries[tile.x + r].y * params.zStride + h * params.D;
  for (var i = 0u; i < 4u; i++) {
    if (d + i < params.D) { Z[first + d + i] = sum[i]; }
  }
}

@compute @workgroup_size(SG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  //@if SUBGROUPS
  @builtin(subgroup_invocation_id) lane: u32,
  //@else
  @builtin(local_invocation_index) lane: u32,
  //@endif
) {
  let tile = tiles[params.firstTile + group.y];
  let h = group.z;
  let d = group.x * SG * 4u + lane * 4u;
  let vHead = params.vOffset + h * params.G / params.H * params.D;
  //@unroll r 0..MR
  let p{r} = ((tile.x + min({r}u, tile.y - 1u) - params.firstEntry) * params.H + h) * params.pitch;
  var s{r} = vec4f();
  //@end
  let last = tile.w - 1u;
  for (var j = 0u; j < tile.w; j += STEP) {
    //@if SUBGROUPS
    let mine = j + lane;
    let at = min(mine, last);
    let key = keys[tile.z + at];
    //@unroll r 0..MR
    let x{r} = select(0.0, P[p{r} + at], mine <= last);
    //@end
    //@endif
    //@unroll t 0..STEP
    if (j + {t}u <= last) {
      //@if SUBGROUPS
      let v = value4(vHead + subgroupBroadcast(key, {t}u) * params.vStride, d);
      //@unroll r 0..MR
      s{r} = fma(vec4f(subgroupBroadcast(x{r}, {t}u)), v, s{r});
      //@end
      //@else
      let v = value4(vHead + keys[tile.z + j + {t}u] * params.vStride, d);
      //@unroll r 0..MR
      s{r} = fma(vec4f(P[p{r} + j + {t}u]), v, s{r});
      //@end
      //@endif
    }
    //@end
  }
  //@unroll r 0..MR
  finish(s{r}, tile, {r}u, d, h);
  //@end
}
