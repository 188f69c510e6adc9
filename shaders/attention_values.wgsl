// Z[o_e, h, d] = Σ_j P[e, h, j] · V[keys_t[j], g(h), d]      for the entries e of each tile t
//
// P [entries, H, pitch], 0 for keys that do not count for an entry; V [*, G, D], rows of any stride; Z [*, H, D];
// entries, tiles, keys and g as in attention_scores_operands.wgsl (o_e is an entry's output row).
// Constants: SG, MR, STEP keys at a time, SUBGROUPS (else lanes are threads, each reading for itself), VEC4.
//
// One workgroup is one subgroup and computes MR entries × (4 · SG) features of one head: lane l owns features
// d0 + 4 l to d0 + 4 l + 3; a row of P is loaded once per SG keys and spread by broadcast.
// Every Z is one chain of fma over ascending j; zeros at its end change nothing.

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

// Features d to d + 3 of the value head that starts at element `start`; beyond D any value.
fn value4(start: u32, d: u32) -> vec4f {
  //@if VEC4
  return V[(start + min(d, params.D - 4u)) / 4u];
  //@else
  let at = min(vec4u(d) + vec4u(0, 1, 2, 3), vec4u(params.D - 1u));
  return vec4f(V[start + at.x], V[start + at.y], V[start + at.z], V[start + at.w]);
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
  let whole = tile.w - tile.w % STEP;
  for (var j = 0u; j < whole; j += STEP) {
    // All loads come first, as in matmul_subgroup.wgsl.
    //@if SUBGROUPS
    let row = keys[tile.z + j + lane] * params.vStride;
    //@unroll r 0..MR
    let x{r} = P[p{r} + j + lane];
    //@end
    //@unroll t 0..STEP
    let v{t} = value4(vHead + subgroupBroadcast(row, {t}u), d);
    //@end
    //@else
    //@unroll t 0..STEP
    let v{t} = value4(vHead + keys[tile.z + j + {t}u] * params.vStride, d);
    //@end
    //@endif
    //@unroll t 0..STEP
    //@unroll r 0..MR
    //@if SUBGROUPS
    s{r} = fma(vec4f(subgroupBroadcast(x{r}, {t}u)), v{t}, s{r});
    //@else
    s{r} = fma(vec4f(P[p{r} + j + {t}u]), v{t}, s{r});
    //@endif
    //@end
    //@end
  }
  for (var j = whole; j < tile.w; j++) {
    let v = value4(vHead + keys[tile.z + j] * params.vStride, d);
    //@unroll r 0..MR
    s{r} = fma(vec4f(P[p{r} + j]), v, s{r});
    //@end
  }
  //@unroll r 0..MR
  finish(s{r}, tile, {r}u, d, h);
  //@end
}
