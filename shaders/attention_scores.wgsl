// S[e, h, j] = scale · Σ_d Q[q_e, h, d] · K[keys_t[j], g(h), d]      for the entries e of each tile t
//
// An entry is one query row: (row of Q, row of the output, number of keys it sees). A tile is up to MR entries that
// share one list of key rows: (first entry, entries, first key in `keys`, keys). Keys may be shared by any number of
// runs without being copied. Q [*, H, D], K [*, G, D] (grouped key heads: g(h) = h · G / H), rows of any stride.
// S [entries, H, pitch]; keys an entry does not see, and the padding of a row to `pitch`, get −infinity.
// Constants: SG, MR, NR, STEP features at a time in QUADS, SUBGROUPS (else lanes are threads, each reading for itself),
// VEC4 (rows of K start at multiples of 4 elements and D is a multiple of 4).
//
// One workgroup is one subgroup and computes MR entries × (SG · NR) keys of one head, like matmul_subgroup.wgsl.

struct Params {
  H: u32, G: u32, D: u32, pitch: u32,
  qOffset: u32, qStride: u32, kOffset: u32, kStride: u32,
  firstTile: u32, firstEntry: u32, scale: f32, minusInfinity: u32,
}

@group(0) @binding(0) var<storage, read> Q: array<f32>;
//@if VEC4
@group(0) @binding(1) var<storage, read> K: array<vec4f>;
//@else
@group(0) @binding(1) var<storage, read> K: array<f32>;
//@endif
@group(0) @binding(2) var<storage, read> entries: array<vec4u>;
@group(0) @binding(3) var<storage, read> tiles: array<vec4u>;
@group(0) @binding(4) var<storage, read> keys: array<u32>;
@group(0) @binding(5) var<storage, read_write> S: array<f32>;

// Features d to d + 3 of the key head that starts at element `start`; zeros beyond D.
fn key4(start: u32, d: u32) -> vec4f {
  //@if VEC4
  return K[(start + d) / 4u];
  //@else
  var value = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (d + i < params.D) { value[i] = K[start + d + i]; }
  }
  return value;
  //@endif
}

fn finish(sum: f32, tile: vec4u, r: u32, j: u32, h: u32) {
  if (r >= tile.y || j >= params.pitch) { return; }
  let e = tile.x + r;
  let seen = j < entries[e].z;
  S[((e - params.firstEntry) * params.H + h) * params.pitch + j] =
    select(bitcast<f32>(params.minusInfinity), sum * params.scale, seen);
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
  let firstKey = group.x * SG * NR;
  let features = select(params.D, 0u, firstKey >= tile.w);  // nothing to compute where no entry sees a key
  let h = group.z;
  let kHead = params.kOffset + h * params.G / params.H * params.D;
  //@unroll c 0..NR
  let j{c} = firstKey + {c}u * SG + lane;
  let k{c} = kHead + keys[tile.z + min(j{c}, tile.w - 1u)] * params.kStride;
  //@end
  //@unroll r 0..MR
  let q{r} = params.qOffset + entries[tile.x + min({r}u, tile.y - 1u)].x * params.qStride + h * params.D;
  //@unroll c 0..NR
  var s{r}_{c} = 0.0;
  //@end
  //@end
  for (var d = 0u; d < features; d += STEP) {
    //@if SUBGROUPS
    let mine = d + lane;
    //@unroll r 0..MR
    let x{r} = select(0.0, Q[q{r} + min(mine, params.D - 1u)], mine < params.D);
    //@end
    //@endif
    //@unroll t 0..QUADS
    if (d + {t}u * 4u < params.D) {
      //@unroll c 0..NR
      let b{c} = key4(k{c}, d + {t}u * 4u);
      //@end
      //@unroll r 0..MR
      {
        //@if SUBGROUPS
        let y0 = subgroupBroadcast(x{r}, {t}u * 4u);
        let y1 = subgroupBroadcast(x{r}, {t}u * 4u + 1u);
        let y2 = subgroupBroadcast(x{r}, {t}u * 4u + 2u);
        let y3 = subgroupBroadcast(x{r}, {t}u * 4u + 3u);
        //@else
        let y0 = Q[q{r} + d];
        let y1 = select(0.0, Q[q{r} + min(d + 1u, params.D - 1u)], d + 1u < params.D);
        let y2 = select(0.0, Q[q{r} + min(d + 2u, params.D - 1u)], d + 2u < params.D);
        let y3 = select(0.0, Q[q{r} + min(d + 3u, params.D - 1u)], d + 3u < params.D);
        //@endif
        //@unroll c 0..NR
        s{r}_{c} = fma(y3, b{c}.w, fma(y2, b{c}.z, fma(y1, b{c}.y, fma(y0, b{c}.x, s{r}_{c}))));
        //@end
      }
      //@end
    }
    //@end
  }
  //@unroll r 0..MR
  //@unroll c 0..NR
  finish(s{r}_{c}, tile, {r}u, j{c}, h);
  //@end
  //@end
}
