// S[e, h, j] = scale · Σ_d Q[q_e, h, d] · K[keys_t[j], g(h), d]      for the entries e of each tile t: operands
//
// An entry is one query row: (row of Q, row of the output, number of keys it sees, number of keys that count). A tile is up to MR entries that
// share one list of key rows: (first entry, entries, first key in `keys`, keys). Keys may be shared by any number of
// runs without being copied. Q [*, H, D], K [*, G, D] (grouped key heads: g(h) = h · G / H), rows of any stride.
// S [entries, H, pitch]; keys an entry does not see, and the padding of a row to `pitch`, get −infinity.
// Constants: VEC4 (rows of K start at multiples of 4 elements and D is a multiple of 4).
//
// In every kernel every S is one chain of fma over ascending d, so it depends neither on the tile nor on the kernel.

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
//@if LOWER
// LOWER: keys before the first that an entry sees, firsts[e], get −infinity too.
@group(0) @binding(6) var<storage, read> firsts: array<u32>;
//@endif
//@if SOFTCAP
// SOFTCAP: a score passes `activate`, which scales it, before it is masked; params.scale is 1.
//@endif

// Elements `at` to `at` + 3 of K.
fn key4(at: u32) -> vec4f {
  //@if VEC4
  return K[at / 4u];
  //@else
  return vec4f(K[at], K[at + 1u], K[at + 2u], K[at + 3u]);
  //@endif
}

fn key(at: u32) -> f32 {
  //@if VEC4
  return K[at / 4u][at % 4u];
  //@else
  return K[at];
  //@endif
}

