// K[keys_t[j], g, d] += Σ_e Σ_{h: g(h) = g} P[e, h, column_t + j] · X[rows[e], h, d]   for the keys j of each tile t: what entries make of keys
// goes back to them. With the gradient of z as X and the pattern as P, K is the gradient of the values; with queries as X and the
// gradient of the products Q · Kᵀ as P, that of the keys.
//
// P [entries, H, pitch], 0 for keys that do not count for an entry; X [*, H, D] and K [*, G, D], rows of any stride, in different
// buffers; rows: of each entry its row of X; g(h) = h · G / H. A tile is (first entry, entries, first key in `keys`, keys, column of P of
// its first key); entries before and behind those have P = 0 for all its keys. No key row is in two tiles of a dispatch.
// Constants: SG, QUADS · STEP keys of a tile, SUBGROUPS (STEP = SG; else lanes are threads, each reading for itself), VEC4 (rows of X start at
// multiples of 4 elements and D is a multiple of 4).
//
// One workgroup is one subgroup and computes QUADS · STEP keys × (4 · SG) features of one head; lane l owns features d0 + 4 l to d0 + 4 l + 3.
// Every K is one chain of fma, on from what is there, over ascending entries and for each over ascending heads: so it does not
// matter in how many parts entries come.

struct Params {
  H: u32, G: u32, D: u32, pitch: u32,
  xOffset: u32, xStride: u32, kOffset: u32, kStride: u32,
  firstTile: u32, firstEntry: u32,
}

@group(0) @binding(0) var<storage, read> P: array<f32>;
//@if VEC4
@group(0) @binding(1) var<storage, read> X: array<vec4f>;
//@else
@group(0) @binding(1) var<storage, read> X: array<f32>;
//@endif
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read> tiles: array<u32>;
@group(0) @binding(4) var<storage, read> keys: array<u32>;
@group(0) @binding(5) var<storage, read_write> K: array<f32>;

// Features d to d + 3 of the head that starts at element `start`; beyond D any value.
fn value4(start: u32, d: u32) -> vec4f {
  //@if VEC4
  return X[(start + min(d, params.D - 4u)) / 4u];
  //@else
  let at = min(vec4u(d) + vec4u(0, 1, 2, 3), vec4u(params.D - 1u));
  return vec4f(X[start + at.x], X[start + at.y], X[start + at.z], X[start + at.w]);
  //@endif
}

// Where features from d on of a tile's key j lie in K.
fn placeOf(firstKey: u32, j: u32, g: u32, d: u32) -> u32 {
  return params.kOffset + keys[firstKey + j] * params.kStride + g * params.D + d;
}

fn begin(firstKey: u32, count: u32, j: u32, g: u32, d: u32) -> vec4f {
  var value = vec4f();
  if (j >= count) { return value; }
  let at = placeOf(firstKey, j, g, d);
  for (var i = 0u; i < 4u; i++) {
    if (d + i < params.D) { value[i] = K[at + i]; }
  }
  return value;
}

fn finish(sum: vec4f, firstKey: u32, count: u32, j: u32, g: u32, d: u32) {
  if (j >= count) { return; }
  let at = placeOf(firstKey, j, g, d);
  for (var i = 0u; i < 4u; i++) {
    if (d + i < params.D) { K[at + i] = sum[i]; }
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
  let tile = 5u * (params.firstTile + group.y);
  let firstEntry = tiles[tile];
  let endEntry = firstEntry + tiles[tile + 1u];
  let firstKey = tiles[tile + 2u];
  let count = tiles[tile + 3u];
  let column = tiles[tile + 4u];
  let g = group.z;
  let d = group.x * SG * 4u + lane * 4u;
  let share = params.H / params.G;
  let last = params.pitch - 1u;
  //@unroll q 0..QUADS
  //@unroll t 0..STEP
  var s{q}_{t} = begin(firstKey, count, {q}u * STEP + {t}u, g, d);
  //@end
  //@end
  for (var e = firstEntry; e < endEntry; e++) {
    let start = params.xOffset + rows[e] * params.xStride;
    for (var h = g * share; h < (g + 1u) * share; h++) {
      let at = ((e - params.firstEntry) * params.H + h) * params.pitch;
      //@if SUBGROUPS
      //@unroll q 0..QUADS
      let p{q} = P[at + min(column + {q}u * STEP + lane, last)];
      //@end
      let x = value4(start + h * params.D, d);
      //@unroll q 0..QUADS
      //@unroll t 0..STEP
      s{q}_{t} = fma(vec4f(subgroupBroadcast(p{q}, {t}u)), x, s{q}_{t});
      //@end
      //@end
      //@else
      let x = value4(start + h * params.D, d);
      //@unroll q 0..QUADS
      //@unroll t 0..STEP
      s{q}_{t} = fma(vec4f(P[at + min(column + {q}u * STEP + {t}u, last)]), x, s{q}_{t});
      //@end
      //@end
      //@endif
    }
  }
  //@unroll q 0..QUADS
  //@unroll t 0..STEP
  finish(s{q}_{t}, firstKey, count, {q}u * STEP + {t}u, g, d);
  //@end
  //@end
}
