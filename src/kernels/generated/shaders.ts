// Generated from shaders/*.wgsl by tools/embed-shaders.mjs. Do not edit.
export const SHADERS = {
  activation: `// Y[i] = act(X[i]) or, with HAS_GATE, act(X[i]) · G[i]: the activation of an MLP where a hook needs it apart from its product.
//
// X, G, Y: \`count\` f32 values each. Constants: WG, HAS_GATE. The prelude defines act as \`activate\`.
// One thread computes one value; threads beyond the widest grid take further values in steps of the grid.

struct Params { count: u32, threads: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
//@if HAS_GATE
@group(0) @binding(2) var<storage, read> G: array<f32>;
//@endif

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) {
    var value = activate(X[i]);
    //@if HAS_GATE
    value = value * G[i];
    //@endif
    Y[i] = value;
  }
}
`,
  add: `// Y[i] = X[i] + R[i]: a residual sum where a hook needs the summand apart.
// X, R, Y: \`count\` f32 values each. Constant: WG. One thread computes one value, then steps on by the grid.

struct Params { count: u32, threads: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> R: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) { Y[i] = X[i] + R[i]; }
}
`,
  attention_scores: `// Attention scores for software adapters. Operands: attention_scores_operands.wgsl.
//
// One workgroup is one subgroup and computes MR entries × (SG · NR) keys of one head, like matmul_subgroup.wgsl.
// Constants: SG, MR, NR, SUBGROUPS (else lanes are threads, each reading for itself), STEP features at a time in QUADS,
//   TAIL (D is no multiple of STEP).

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
  let whole = features - features % STEP;
  for (var d = 0u; d < whole; d += STEP) {
    // All loads come first, as in matmul_subgroup.wgsl.
    //@if SUBGROUPS
    //@unroll r 0..MR
    let x{r} = Q[q{r} + d + lane];
    //@end
    //@endif
    //@unroll t 0..QUADS
    //@unroll c 0..NR
    let b{c}_{t} = key4(k{c} + d + {t}u * 4u);
    //@end
    //@end
    //@unroll t 0..QUADS
    //@unroll r 0..MR
    {
      //@if SUBGROUPS
      let y0 = subgroupBroadcast(x{r}, {t}u * 4u);
      let y1 = subgroupBroadcast(x{r}, {t}u * 4u + 1u);
      let y2 = subgroupBroadcast(x{r}, {t}u * 4u + 2u);
      let y3 = subgroupBroadcast(x{r}, {t}u * 4u + 3u);
      //@else
      let y0 = Q[q{r} + d];
      let y1 = Q[q{r} + d + 1u];
      let y2 = Q[q{r} + d + 2u];
      let y3 = Q[q{r} + d + 3u];
      //@endif
      //@unroll c 0..NR
      s{r}_{c} = fma(y3, b{c}_{t}.w, fma(y2, b{c}_{t}.z, fma(y1, b{c}_{t}.y, fma(y0, b{c}_{t}.x, s{r}_{c}))));
      //@end
    }
    //@end
    //@end
  }
  //@if TAIL
  for (var d = whole; d < features; d++) {
    //@unroll c 0..NR
    let b{c} = key(k{c} + d);
    //@end
    //@unroll r 0..MR
    let x{r} = Q[q{r} + d];
    //@unroll c 0..NR
    s{r}_{c} = fma(x{r}, b{c}, s{r}_{c});
    //@end
    //@end
  }
  //@endif
  //@unroll r 0..MR
  if ({r}u < tile.y) {
    let seen = entries[tile.x + {r}u].z;
    let row = ((tile.x + {r}u - params.firstEntry) * params.H + h) * params.pitch;
    //@unroll c 0..NR
    if (j{c} < params.pitch) {
      S[row + j{c}] = select(bitcast<f32>(params.minusInfinity), s{r}_{c} * params.scale, j{c} < seen);
    }
    //@end
  }
  //@end
}
`,
  attention_scores_operands: `// S[e, h, j] = scale · Σ_d Q[q_e, h, d] · K[keys_t[j], g(h), d]      for the entries e of each tile t: operands
//
// An entry is one query row: (row of Q, row of the output, number of keys it sees, number of keys that count). A tile is up to MR entries that
// share one list of key rows: (first entry, entries, first key in \`keys\`, keys). Keys may be shared by any number of
// runs without being copied. Q [*, H, D], K [*, G, D] (grouped key heads: g(h) = h · G / H), rows of any stride.
// S [entries, H, pitch]; keys an entry does not see, and the padding of a row to \`pitch\`, get −infinity.
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

// Elements \`at\` to \`at\` + 3 of K.
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

`,
  attention_scores_tile: `// Attention scores for GPUs: keys and queries go through workgroup memory. Operands: attention_scores_operands.wgsl.
//
// One workgroup of SG threads computes MR entries × SG keys of one head, each thread one key. Per step of 4 · QUADS features
// all threads together load SG keys and MR queries, neighbours reading neighbouring quads. Keys are PITCH = QUADS + 1 quads apart,
// which keeps them in different banks: (SG · PITCH + MR · QUADS) · 16 bytes.
// Constants: SG, MR, QUADS.

const PITCH = QUADS + 1u;

var<workgroup> tileK: array<vec4f, SG * PITCH>;
var<workgroup> tileQ: array<vec4f, MR * QUADS>;

// Features d to d + 3 of the query head that starts at element \`start\`, zeros beyond D.
fn query4(start: u32, d: u32) -> vec4f {
  var value = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (d + i < params.D) { value[i] = Q[start + d + i]; }
  }
  return value;
}

// The same of a key head.
fn keyQuad(start: u32, d: u32) -> vec4f {
  if (d + 4u <= params.D) { return key4(start + d); }
  var value = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (d + i < params.D) { value[i] = key(start + d + i); }
  }
  return value;
}

@compute @workgroup_size(SG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let tile = tiles[params.firstTile + group.y];
  let firstKey = group.x * SG;
  let features = select(params.D, 0u, firstKey >= tile.w);  // nothing to compute where no entry sees a key
  let h = group.z;
  let kHead = params.kOffset + h * params.G / params.H * params.D;
  let qHead = params.qOffset + h * params.D;
  let j = firstKey + thread;
  //@unroll r 0..MR
  var s{r} = 0.0;
  //@end
  for (var d0 = 0u; d0 < features; d0 += 4u * QUADS) {
    for (var i = thread; i < SG * QUADS; i += SG) {
      let row = keys[tile.z + min(firstKey + i / QUADS, tile.w - 1u)];
      tileK[i / QUADS * PITCH + i % QUADS] = keyQuad(kHead + row * params.kStride, d0 + i % QUADS * 4u);
    }
    for (var i = thread; i < MR * QUADS; i += SG) {
      let row = entries[tile.x + min(i / QUADS, tile.y - 1u)].x;
      tileQ[i] = query4(qHead + row * params.qStride, d0 + i % QUADS * 4u);
    }
    workgroupBarrier();
    for (var q = 0u; q < QUADS; q++) {
      let b = tileK[thread * PITCH + q];
      //@unroll r 0..MR
      {
        let a = tileQ[{r}u * QUADS + q];
        s{r} = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, s{r}))));
      }
      //@end
    }
    workgroupBarrier();
  }
  if (j >= params.pitch) { return; }
  //@unroll r 0..MR
  if ({r}u < tile.y) {
    let e = tile.x + {r}u;
    let seen = j < entries[e].z;
    S[((e - params.firstEntry) * params.H + h) * params.pitch + j] =
      select(bitcast<f32>(params.minusInfinity), s{r} * params.scale, seen);
  }
  //@end
}
`,
  attention_softmax: `// P[e, h, j] = exp(S[e, h, j] − max_j) / Σ_j exp(S[e, h, j] − max_j) over the keys that count for entry e; 0 beyond them. In place.
//
// S = P [entries, H, pitch]; entries as in attention_scores_operands.wgsl. Masked keys (−infinity) give exact zeros, so
// the sum has the same bits whether they count or not.
// Constants: WG threads of a workgroup. One workgroup normalises one (entry, head), thread t keys t, t + WG, ….

struct Params { H: u32, pitch: u32, firstEntry: u32 }

const MINUS_INFINITY = 0xff800000u;  // bits: WGSL may assume that no float is infinite

@group(0) @binding(0) var<storage, read> entries: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> S: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let e = group.y;
  let count = entries[params.firstEntry + e].w;
  let first = (e * params.H + group.x) * params.pitch;
  var largest = S[first];
  for (var j = thread; j < count; j += WG) { largest = max(largest, S[first + j]); }
  largest = reduceMax(largest, thread);
  var total = 0.0;
  for (var j = thread; j < count; j += WG) {
    let score = S[first + j];
    let value = select(exp(score - largest), 0.0, bitcast<u32>(score) == MINUS_INFINITY);
    S[first + j] = value;
    total += value;
  }
  total = reduceSum(total, thread);
  for (var j = thread; j < params.pitch; j += WG) {
    S[first + j] = select(0.0, S[first + j] / total, j < count);
  }
}
`,
  attention_values: `// Z[o_e, h, d] = Σ_j P[e, h, j] · V[keys_t[j], g(h), d]      for the entries e of each tile t
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

// Features d to d + 3 of the value head that starts at element \`start\`; beyond D any value.
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
`,
  cast: `// Packs f32 values two to a word as f16 or bf16 (round to nearest, ties to even), or widens them again.
//
// TO_F32 0: Y[i] = pack(X[2i], X[2i+1]); TO_F32 1: Y[2i], Y[2i+1] = unpack(X[i]). \`count\` is the number of words.
// Constants: WG, TO_F32, BF16. One thread converts one word, then steps on by the grid.

struct Params { count: u32, threads: u32 }

//@if TO_F32
@group(0) @binding(0) var<storage, read> X: array<u32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
//@else
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<u32>;
//@endif

// By integers, because pack2x16float may round either way and leaves open what becomes of values that are too large.
fn f16Bits(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u; }
  if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; }  // 65520 and more: infinity
  if (magnitude <= 0x33000000u) { return sign; }            // half the smallest subnormal or less: 0
  if (magnitude < 0x38800000u) {                            // below 2^-14: subnormal, in units of 2^-24
    let shift = 126u - (magnitude >> 23u);
    let significand = (magnitude & 0x7fffffu) | 0x800000u;
    let rounding = (1u << (shift - 1u)) - 1u + ((significand >> shift) & 1u);
    return sign | ((significand + rounding) >> shift);
  }
  return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u);
}

// Not-a-number keeps a mantissa bit, so that rounding cannot turn it into infinity.
fn bf16Bits(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) {
    //@if TO_F32
    if (BF16 == 1u) {
      Y[2u * i] = bitcast<f32>(X[i] << 16u);
      Y[2u * i + 1u] = bitcast<f32>(X[i] & 0xffff0000u);
    } else {
      let pair = unpack2x16float(X[i]);
      Y[2u * i] = pair.x;
      Y[2u * i + 1u] = pair.y;
    }
    //@else
    if (BF16 == 1u) {
      Y[i] = bf16Bits(X[2u * i]) | (bf16Bits(X[2u * i + 1u]) << 16u);
    } else {
      Y[i] = f16Bits(X[2u * i]) | (f16Bits(X[2u * i + 1u]) << 16u);
    }
    //@endif
  }
}
`,
  custom_hook: `// X[row, c] = edit(X[row, c], batch, position, head, feature) for the listed rows, where \`edit\` is a user's function:
//   fn edit(value: f32, batch: u32, position: u32, head: u32, feature: u32) -> f32
// Its text is put in front of this one.
//
// X [*, heads · size] with rows of \`stride\` from \`offset\`; rows [R] of (row, batch, position, 0).
// Constants: WG. One workgroup edits one row, thread t columns t, t + WG, ….

struct Params { R: u32, columns: u32, size: u32, offset: u32, stride: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read_write> X: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<vec4u>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let r = group.y * params.gridX + group.x;
  if (r >= params.R) { return; }
  let row = rows[r];
  for (var c = thread; c < params.columns; c += WG) {
    let at = params.offset + row.x * params.stride + c;
    X[at] = edit(X[at], row.y, row.z, c / params.size, c % params.size);
  }
}
`,
  dequantize: `// Y[r, k] = value(codes[first + r, k]) · scale: rows of a quantised matrix as f32. Codes: quantized_values.wgsl.
//
// codes [rows, words of a row], Y with the same rows, so padding becomes zeros.
// scales: NF4 one for each 64 elements, counted row by row over the \`K\` columns without padding; int8 one for each row.
// Constants: NF4, WG, CODES (codes in a word) = 4 · QUADS. One thread converts one word, then steps on by the grid.

struct Params { count: u32, threads: u32, rowWords: u32, first: u32, K: u32 }

@group(0) @binding(0) var<storage, read> codes: array<u32>;
@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<vec4f>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) thread: u32) {
  prepareValues(thread);
  for (var i = id.x; i < params.count; i += params.threads) {
    let row = params.first + i / params.rowWords;
    let word = codes[params.first * params.rowWords + i];
    //@if NF4
    // Where rows are no multiple of 8 elements, a block may end inside a word.
    let element = row * params.K + (i % params.rowWords) * CODES;
    let blockNumber = element / 64u;
    let next = min((element + CODES - 1u) / 64u, arrayLength(&scales) - 1u);
    let before = scales[blockNumber];
    let after = scales[next];
    //@else
    let scale = scales[row];
    //@endif
    //@unroll q 0..QUADS
    {
      var y: vec4f;
      //@unroll e 0..4
      {
        let at = {q}u * 4u + {e}u;
        //@if NF4
        let scale = select(after, before, (element + at) / 64u == blockNumber);
        //@endif
        y[{e}] = codeValue(word, at) * scale;
      }
      //@end
      Y[i * QUADS + {q}u] = y;
    }
    //@end
  }
}
`,
  embed_image: `// Y[b · T + t, c] = P[t, c] + (t = 0 ? class[c] : E[b · (T − 1) + t − 1, c]): class token in front, positions added.
//
// E [B · (T − 1), C] embedded patches; class [C]; P [T, C] position table (f32, f16 or bf16, rows of \`stride\`).
// Y [B · T, C]. Constants: WG. One workgroup takes one row, thread t the quads of columns t, t + WG, ….

struct Params { R: u32, C: u32, T: u32, stride: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> E: array<f32>;
@group(0) @binding(1) var<storage, read> classToken: array<f32>;
@group(0) @binding(2) var<storage, read> P: array<WeightVec>;
@group(0) @binding(3) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.gridX + group.x;
  if (row >= params.R) { return; }
  let t = row % params.T;
  let patchRow = row / params.T * (params.T - 1u) + max(t, 1u) - 1u;
  let quads = params.stride / 4u;
  for (var q = thread; q < quads; q += WG) {
    let position = weight4(P[t * quads + q]);
    for (var i = 0u; i < 4u; i++) {
      let c = 4u * q + i;
      if (c < params.C) {
        let value = select(E[patchRow * params.C + c], classToken[c], t == 0u);
        Y[row * params.C + c] = value + position[i];
      }
    }
  }
}
`,
  embed_tokens: `// Y[r, c] = T[ids[r], c] + P[positions[r], c]; without HAS_POSITIONS only the first table.
//
// T [vocabulary, C] and P [positions, C] are weights in f32, f16 or bf16 with rows padded to \`stride\` elements.
// T may come in parts: bound are rows tFirst to tFirst + tRows; other ids are left to the dispatch of their part.
// \`index\` holds per row the id and the position. Y [R, C] contiguous.
// Constants: WG, HAS_POSITIONS. One workgroup takes one row, thread t the quads of columns t, t + WG, ….

struct Params { R: u32, C: u32, stride: u32, tFirst: u32, tRows: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> index: array<vec2u>;
@group(0) @binding(1) var<storage, read> T: array<WeightVec>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;
//@if HAS_POSITIONS
@group(0) @binding(3) var<storage, read> P: array<WeightVec>;
//@endif

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.gridX + group.x;
  if (row >= params.R) { return; }
  let id = index[row].x - params.tFirst;
  if (id >= params.tRows) { return; }
  let quads = params.stride / 4u;
  for (var q = thread; q < quads; q += WG) {
    var value = weight4(T[id * quads + q]);
    //@if HAS_POSITIONS
    value = value + weight4(P[index[row].y * quads + q]);
    //@endif
    for (var i = 0u; i < 4u; i++) {
      if (4u * q + i < params.C) { Y[row * params.C + 4u * q + i] = value[i]; }
    }
  }
}
`,
  gather_rows: `// Y[yFirst + r, c] = X[index[r], c].
//
// X [*, C] with rows of \`xStride\` from \`xOffset\`; Y likewise; index [R] u32. X and Y are different buffers.
// Constants: WG. One workgroup copies one row, thread t columns t, t + WG, ….

struct Params { R: u32, C: u32, xOffset: u32, xStride: u32, yOffset: u32, yStride: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.gridX + group.x;
  if (row >= params.R) { return; }
  let origin = params.xOffset + index[row] * params.xStride;
  let to = params.yOffset + row * params.yStride;
  for (var c = thread; c < params.C; c += WG) { Y[to + c] = X[origin + c]; }
}
`,
  image_patches: `// X[patch, (channel, y, x)] = pixels[channel, top + y, left + x]: the rows that a patch embedding multiplies with its
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
`,
  intervene: `// X[row, c] of the addressed elements becomes, for source value s (from Y, or from a constant 0):
//   OP 0 replace s · 1 zero 0 · 2 add x + a·s · 3 scale a·x · 4 interpolate (1 − a)·x + a·s
//
// Each edit is 8 words: target row, first column, columns, source row, alpha (f32 bits), index of its counter, -, -.
// X [*, *] with rows of \`xStride\` from \`xOffset\`; Y rows of \`yStride\` from \`yOffset\` with the source in the same columns as the
// target, minus \`yColumn\`. Without EXTERNAL Y is X itself, and then no source row may also be a target.
// \`fired[counter]\` counts the elements written, so that an edit that did not happen is noticed.
// Constants: WG, OP, EXTERNAL. One workgroup makes one edit, thread t takes columns t, t + WG, ….

struct Params { count: u32, gridX: u32, xOffset: u32, xStride: u32, yOffset: u32, yStride: u32, yColumn: u32 }

@group(0) @binding(0) var<storage, read_write> X: array<f32>;
@group(0) @binding(1) var<storage, read> edits: array<u32>;
@group(0) @binding(2) var<storage, read_write> fired: array<atomic<u32>>;
//@if EXTERNAL
@group(0) @binding(3) var<storage, read> Y: array<f32>;
//@endif

fn source(row: u32, c: u32) -> f32 {
  let at = params.yOffset + row * params.yStride + c - params.yColumn;
  //@if EXTERNAL
  return Y[at];
  //@else
  return X[at];
  //@endif
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = group.y * params.gridX + group.x;
  if (i >= params.count) { return; }
  let to = params.xOffset + edits[8u * i] * params.xStride;
  let first = edits[8u * i + 1u];
  let end = first + edits[8u * i + 2u];
  let origin = edits[8u * i + 3u];
  let alpha = bitcast<f32>(edits[8u * i + 4u]);
  var written = 0u;
  for (var c = first + thread; c < end; c += WG) {
    let x = X[to + c];
    var value = 0.0;
    if (OP == 0u) { value = source(origin, c); }
    if (OP == 2u) { value = fma(alpha, source(origin, c), x); }
    if (OP == 3u) { value = alpha * x; }
    if (OP == 4u) { value = fma(alpha, source(origin, c), (1.0 - alpha) * x); }
    X[to + c] = value;
    written++;
  }
  if (written > 0u) { atomicAdd(&fired[edits[8u * i + 5u]], written); }
}
`,
  layer_norm: `// Y[r, c] = (X[r, c] − mean_r) / sqrt(var_r + eps) · scale[c] + shift[c]       (HAS_SHIFT: LayerNorm)
// Y[r, c] = X[r, c] / sqrt(mean_r(x²) + eps) · scale[c]                         (without: RMSNorm)
//
// X, Y [R, C] contiguous f32; scale, shift [C]. The variance is that of the deviations from the mean (two passes).
// Constants: WG threads of a workgroup, HAS_SHIFT.
// One workgroup normalises one row; thread t takes columns t, t + WG, …. Rows beyond the widest grid are taken by y.

struct Params { R: u32, C: u32, gridX: u32, eps: f32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;
//@if HAS_SHIFT
@group(0) @binding(3) var<storage, read> shift: array<f32>;
//@endif

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * params.gridX + group.x;
  if (row >= params.R) { return; }
  let first = row * params.C;
  var mean = 0.0;
  //@if HAS_SHIFT
  var total = 0.0;
  for (var c = thread; c < params.C; c += WG) { total += X[first + c]; }
  mean = reduceSum(total, thread) / f32(params.C);
  //@endif
  var squares = 0.0;
  for (var c = thread; c < params.C; c += WG) {
    let d = X[first + c] - mean;
    squares = fma(d, d, squares);
  }
  let inverse = 1.0 / sqrt(reduceSum(squares, thread) / f32(params.C) + params.eps);
  for (var c = thread; c < params.C; c += WG) {
    var value = (X[first + c] - mean) * inverse * scale[c];
    //@if HAS_SHIFT
    value = value + shift[c];
    //@endif
    Y[first + c] = value;
  }
}
`,
  log_sum_exp: `// out[i] = ( log Σ_v exp(L[r, v]), L[r, ids[i, 0]], …, L[r, ids[i, count − 1]] ) with r = rows[i]: all that a metric needs
// of a row of logits.
//
// L [*, V] contiguous f32; ids [R, 1 + count]: a row of L and token ids; out [R, 1 + count].
// Constants: WG threads of a workgroup. One workgroup reduces one row, thread t values t, t + WG, ….

struct Params { R: u32, V: u32, count: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> L: array<f32>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = group.y * params.gridX + group.x;
  if (i >= params.R) { return; }
  let at = i * (1u + params.count);
  let first = ids[at] * params.V;
  var largest = L[first];
  for (var v = thread; v < params.V; v += WG) { largest = max(largest, L[first + v]); }
  largest = reduceMax(largest, thread);
  var total = 0.0;
  for (var v = thread; v < params.V; v += WG) { total += exp(L[first + v] - largest); }
  total = reduceSum(total, thread);
  if (thread == 0u) { result[at] = largest + log(total); }
  for (var t = thread + 1u; t <= params.count; t += WG) { result[at + t] = L[first + ids[at + t]]; }
}
`,
  matmul_matrix: `// Matrix product on a GPU's matrix units, through Dawn's experimental subgroup matrices: f16 operands, f32 sums.
// Operands: matmul_operands.wgsl, their quads: matmul_quads.wgsl.
//
// An f32 is split into two f16: high has its upper 11 bits, low the next 11, times SCALE = 2¹¹ so that it has the range of
// high. Then A · Wᵀ = high · high + (low · high + high · low) / SCALE, but for a rest of at most 2⁻²¹ of each product, in
// the mean much less. Weights stored as f16 have no low part (SPLIT = 0) and leave at most 2⁻²³. Values below 2⁻¹⁴ keep 11 bits,
// and so an error of 2⁻²⁶ or less. Values beyond 65504 become infinite, and results NaN.
//
// One workgroup computes BM × BN values with DOWN × ACROSS subgroups of SG lanes; a subgroup owns TM × TN matrices of SM × SN
// values. Per step of STEP features all threads bring BM rows of A and BN rows of W into workgroup memory, split, in rows of
// PITCH elements; then each subgroup multiplies matrices of SK features. The sums leave through workgroup memory, matrix by
// matrix, as which lane holds which value is not known. Workgroup memory: 2 · PITCH · (2 BM + (1 + SPLIT) BN) bytes for
// operands and 8 · SM · SN bytes per subgroup for sums.
// Constants: SM, SN, SK (the device's matrices), SG, DOWN, ACROSS, TM, TN, STEP (a multiple of SK), SPLIT.

const WG = SG * DOWN * ACROSS;
const BM = DOWN * TM * SM;
const BN = ACROSS * TN * SN;
const PITCH = STEP + 8u;
const SCALE = 2048.0;

alias Left = subgroup_matrix_left<f16, SK, SM>;
alias Right = subgroup_matrix_right<f16, SN, SK>;
alias Sums = subgroup_matrix_result<f32, SN, SM>;

var<workgroup> highA: array<f16, BM * PITCH>;
var<workgroup> lowA: array<f16, BM * PITCH>;
var<workgroup> highW: array<f16, BN * PITCH>;
//@if SPLIT
var<workgroup> lowW: array<f16, BN * PITCH>;
//@endif
var<workgroup> sums: array<f32, 2u * DOWN * ACROSS * SM * SN>;

// To 11 bits by integers: compilers drop a conversion to f16 and back. Below f16's normal
// range, 2⁻¹⁴, all is left to the low part.
fn highOf(value: vec4f) -> vec4f {
  let rounded = bitcast<vec4f>((bitcast<vec4u>(value) + 0x1000u) & vec4u(0xffffe000u));
  return select(rounded, vec4f(), abs(value) < vec4f(6.103515625e-5));
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) owner: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let rowA = owner / ACROSS * TM * SM;
  let rowW = owner % ACROSS * TN * SN;
  //@unroll r 0..TM
  //@unroll c 0..TN
  var high{r}_{c}: Sums;
  var low{r}_{c}: Sums;
  //@end
  //@end
  for (var k0 = 0u; k0 < params.K; k0 += STEP) {
    for (var i = thread; i < BM * STEP / 4u; i += WG) {
      let row = i / (STEP / 4u);
      let q = i % (STEP / 4u);
      let value = quadOfA(min(m0 + row, params.M - 1u), k0 / 4u + q);
      let high = highOf(value);
      let low = (value - high) * SCALE;
      for (var j = 0u; j < 4u; j++) {
        highA[row * PITCH + 4u * q + j] = f16(high[j]);
        lowA[row * PITCH + 4u * q + j] = f16(low[j]);
      }
    }
    for (var i = thread; i < BN * STEP / 4u; i += WG) {
      let row = i / (STEP / 4u);
      let q = i % (STEP / 4u);
      let value = quadOfW(min(n0 + row, params.N - 1u), k0 / 4u + q);
      //@if SPLIT
      let high = highOf(value);
      let low = (value - high) * SCALE;
      //@else
      let high = value;
      //@endif
      for (var j = 0u; j < 4u; j++) {
        highW[row * PITCH + 4u * q + j] = f16(high[j]);
        //@if SPLIT
        lowW[row * PITCH + 4u * q + j] = f16(low[j]);
        //@endif
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < STEP; k += SK) {
      //@unroll r 0..TM
      let a{r} = rowA + {r}u * SM;
      let highA{r} = subgroupMatrixLoad<Left, row_major>(&highA, a{r} * PITCH + k, PITCH);
      let lowA{r} = subgroupMatrixLoad<Left, row_major>(&lowA, a{r} * PITCH + k, PITCH);
      //@end
      //@unroll c 0..TN
      {
        let w = rowW + {c}u * SN;
        let highW{c} = subgroupMatrixLoad<Right, col_major>(&highW, w * PITCH + k, PITCH);
        //@if SPLIT
        let lowW{c} = subgroupMatrixLoad<Right, col_major>(&lowW, w * PITCH + k, PITCH);
        //@endif
        //@unroll r 0..TM
        high{r}_{c} = subgroupMatrixMultiplyAccumulate(highA{r}, highW{c}, high{r}_{c});
        low{r}_{c} = subgroupMatrixMultiplyAccumulate(lowA{r}, highW{c}, low{r}_{c});
        //@if SPLIT
        low{r}_{c} = subgroupMatrixMultiplyAccumulate(highA{r}, lowW{c}, low{r}_{c});
        //@endif
        //@end
      }
      //@end
    }
    workgroupBarrier();
  }
  let first = 2u * owner * SM * SN;
  //@unroll r 0..TM
  //@unroll c 0..TN
  subgroupMatrixStore<row_major>(&sums, first, high{r}_{c}, SN);
  subgroupMatrixStore<row_major>(&sums, first + SM * SN, low{r}_{c}, SN);
  workgroupBarrier();
  for (var i = lane; i < SM * SN; i += SG) {
    let sum = sums[first + i] + sums[first + SM * SN + i] / SCALE;
    finish(sum, m0 + rowA + {r}u * SM + i / SN, n0 + rowW + {c}u * SN + i % SN);
  }
  workgroupBarrier();
  //@end
  //@end
}
`,
  matmul_operands: `// C[m, n] = act( Σ_k A[m, k] · W[n, k] + bias[n] ) + R[m, n]      operands and epilogue of all matmul kernels
//
// A [M, K] f32, rows of \`aStride\` elements from element \`aOffset\`.
// W [N, K] in PyTorch's order (out features × in features), f32, f16 or bf16; rows padded with zeros to \`wStride\`
//   elements, a multiple of 4. Bound are the rows of one part; \`nFirst\` is the part's first row.
// bias [N], R [M, N] (rows of \`rStride\`), C [M, N] (rows of \`cStride\`).
// Constants: CHUNK, HAS_BIAS, HAS_RESIDUAL, VEC4 (rows of A start at multiples of 4 elements and K is a multiple of 4).
//   The prelude defines act as \`activate\` and the loading of weights as \`weight4\`.
//
// In every kernel every C[m, n] is the sum, chunk after chunk, of chains of CHUNK fma over ascending k (the last may be
// shorter): chains of limited length round less. So a row does not depend on the rows beside it, and all kernels and tiles
// give the same bits on one device.

struct Params {
  M: u32, N: u32, K: u32, nFirst: u32,
  aOffset: u32, aStride: u32, wStride: u32,
  rOffset: u32, rStride: u32, cOffset: u32, cStride: u32,
}

//@if VEC4
@group(0) @binding(0) var<storage, read> A: array<vec4f>;
//@else
@group(0) @binding(0) var<storage, read> A: array<f32>;
//@endif
@group(0) @binding(1) var<storage, read> W: array<WeightVec>;
@group(0) @binding(2) var<storage, read_write> C: array<f32>;
//@if HAS_BIAS
@group(0) @binding(3) var<storage, read> bias: array<f32>;
//@endif
//@if HAS_RESIDUAL
@group(0) @binding(3u + HAS_BIAS) var<storage, read> R: array<f32>;
//@endif

fn finish(sum: f32, m: u32, n: u32) {
  if (m >= params.M || n >= params.N) { return; }
  let column = params.nFirst + n;
  var value = sum;
  //@if HAS_BIAS
  value = value + bias[column];
  //@endif
  value = activate(value);
  //@if HAS_RESIDUAL
  value = value + R[params.rOffset + m * params.rStride + column];
  //@endif
  C[params.cOffset + m * params.cStride + column] = value;
}

`,
  matmul_portable: `// Matrix product with neither subgroups nor workgroup memory, for software adapters without subgroups of a known size.
// Operands: matmul_operands.wgsl.
//
// One workgroup computes MR × (WG · NR) values; thread t owns columns n0 + t, n0 + WG + t, …. All threads read the
// same elements of A at the same time.
// Constants: WG threads of a workgroup, MR rows and NR columns of one thread's tile.

fn element(row: u32, k: u32) -> f32 {
  return select(0.0, A[row + min(k, params.K - 1u)], k < params.K);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * MR;
  let n0 = group.x * WG * NR + thread;
  let quads = params.wStride / 4u;
  //@unroll c 0..NR
  let w{c} = min(n0 + {c}u * WG, params.N - 1u) * quads;
  //@end
  //@unroll r 0..MR
  let a{r} = params.aOffset + min(m0 + {r}u, params.M - 1u) * params.aStride;
  //@unroll c 0..NR
  var total{r}_{c} = 0.0;
  //@end
  //@end
  for (var first = 0u; first < params.K; first += CHUNK) {
    //@unroll r 0..MR
    //@unroll c 0..NR
    var s{r}_{c} = 0.0;
    //@end
    //@end
    let stop = min(first + CHUNK, params.K);
    for (var k = first; k < stop; k += 4u) {
      //@unroll c 0..NR
      let b{c} = weight4(W[w{c} + k / 4u]);
      //@end
      //@unroll r 0..MR
      {
        let y0 = element(a{r}, k);
        let y1 = element(a{r}, k + 1u);
        let y2 = element(a{r}, k + 2u);
        let y3 = element(a{r}, k + 3u);
        //@unroll c 0..NR
        s{r}_{c} = fma(y3, b{c}.w, fma(y2, b{c}.z, fma(y1, b{c}.y, fma(y0, b{c}.x, s{r}_{c}))));
        //@end
      }
      //@end
    }
    //@unroll r 0..MR
    //@unroll c 0..NR
    total{r}_{c} += s{r}_{c};
    //@end
    //@end
  }
  //@unroll r 0..MR
  //@unroll c 0..NR
  finish(total{r}_{c}, m0 + {r}u, n0 + {c}u * WG);
  //@end
  //@end
}
`,
  matmul_quads: `// Four neighbouring values of a row of A or W, for kernels that bring tiles into workgroup memory.
// Operands: matmul_operands.wgsl.

// A[row, 4 q to 4 q + 3], zeros beyond K.
fn quadOfA(row: u32, q: u32) -> vec4f {
  let k = 4u * q;
  let first = params.aOffset + row * params.aStride + k;
  //@if VEC4
  if (k >= params.K) { return vec4f(); }
  return A[first / 4u];
  //@else
  var value = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (k + i < params.K) { value[i] = A[first + i]; }
  }
  return value;
  //@endif
}

// W[row, 4 q to 4 q + 3], zeros beyond K.
fn quadOfW(row: u32, q: u32) -> vec4f {
  let quads = params.wStride / 4u;
  if (q >= quads) { return vec4f(); }
  return weight4(W[row * quads + q]);
}

`,
  matmul_quantized: `// Matrix product of few rows with a quantised weight, whose values are made in registers. Operands: matmul_operands.wgsl,
// codes: quantized_values.wgsl.
//
// K is a multiple of 64. W: 16 bytes of codes at a time, which are SHARES · LANES = 4 · CODES elements. scales: NF4 one
// for each 64 elements of the part's rows, int8 one for each row.
// One workgroup computes MR × (WG · NR) values; thread t owns columns n0 + t, n0 + WG + t, …. With SUBGROUPS the
// workgroup is one subgroup of LANES = WG threads, each of which loads every LANES-th element of a row of A for all.
// A value is multiplied with its scale before the chains of fma, so the result has the bits of a product with the
// dequantised matrix.
// Constants: WG, MR, NR, NF4, CODES (codes in a word), SUBGROUPS, SHARES, LANES, OPTIONAL = HAS_BIAS + HAS_RESIDUAL.

@group(0) @binding(3u + OPTIONAL) var<storage, read> scales: array<f32>;

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  //@if SUBGROUPS
  @builtin(subgroup_invocation_id) thread: u32,
  //@else
  @builtin(local_invocation_index) thread: u32,
  //@endif
) {
  prepareValues(thread);
  let m0 = group.y * MR;
  let n0 = group.x * WG * NR + thread;
  const span = 4u * CODES;
  //@unroll c 0..NR
  let column{c} = min(n0 + {c}u * WG, params.N - 1u);
  let w{c} = column{c} * (params.wStride / span);
  //@end
  //@unroll r 0..MR
  let a{r} = params.aOffset + min(m0 + {r}u, params.M - 1u) * params.aStride;
  //@unroll c 0..NR
  var s{r}_{c} = 0.0;
  var total{r}_{c} = 0.0;
  //@end
  //@end
  for (var k = 0u; k < params.K; k += span) {
    //@if SUBGROUPS
    //@unroll r 0..MR
    //@unroll h 0..SHARES
    let x{r}_{h} = A[a{r} + k + {h}u * LANES + thread];
    //@end
    //@end
    //@endif
    //@unroll c 0..NR
    let words{c} = W[w{c} + k / span];
    //@if NF4
    let scale{c} = scales[(column{c} * params.K + k) / 64u];
    //@else
    let scale{c} = scales[column{c}];
    //@endif
    //@end
    //@unroll h 0..SHARES
    //@unroll l 0..LANES
    {
      const e = {h}u * LANES + {l}u;
      //@unroll c 0..NR
      let b{c} = codeValue(words{c}[e / CODES], e % CODES) * scale{c};
      //@end
      //@unroll r 0..MR
      {
        //@if SUBGROUPS
        let y = subgroupBroadcast(x{r}_{h}, {l}u);
        //@else
        let y = A[a{r} + k + e];
        //@endif
        //@unroll c 0..NR
        s{r}_{c} = fma(y, b{c}, s{r}_{c});
        //@end
      }
      //@end
    }
    //@end
    //@end
    if ((k + span) % CHUNK == 0u) {
      //@unroll r 0..MR
      //@unroll c 0..NR
      total{r}_{c} += s{r}_{c};
      s{r}_{c} = 0.0;
      //@end
      //@end
    }
  }
  //@unroll r 0..MR
  //@unroll c 0..NR
  finish(total{r}_{c} + s{r}_{c}, m0 + {r}u, n0 + {c}u * WG);
  //@end
  //@end
}
`,
  matmul_subgroup: `// Matrix product for software adapters, whose subgroups are one SIMD register. Operands: matmul_operands.wgsl.
//
// One workgroup is one subgroup and computes MR × (SG · NR) values: lane l owns columns n0 + l, n0 + SG + l, … and
// reads their weights as vec4 along k. Each of the MR rows of A is loaded once per SG steps of k, lane l taking
// k + l, and spread with subgroupBroadcast: on software adapters a load costs as much as 15 to 30 fma.
// Constants: SG lanes of a subgroup, QUADS = SG / 4, MR rows and NR columns per lane of a tile, TAIL (K is no multiple
//   of SG).

@compute @workgroup_size(SG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let m0 = group.y * MR;
  let n0 = group.x * SG * NR + lane;
  let quads = params.wStride / 4u;
  let lastN = params.N - 1u;
  let lastM = params.M - 1u;
  //@unroll c 0..NR
  let w{c} = min(n0 + {c}u * SG, lastN) * quads;
  //@end
  //@unroll r 0..MR
  let a{r} = params.aOffset + min(m0 + {r}u, lastM) * params.aStride + lane;
  //@unroll c 0..NR
  var total{r}_{c} = 0.0;
  //@end
  //@end
  let whole = params.K - params.K % SG;
  for (var first = 0u; first < params.K; first += CHUNK) {
    //@unroll r 0..MR
    //@unroll c 0..NR
    var s{r}_{c} = 0.0;
    //@end
    //@end
    let stop = min(first + CHUNK, whole);
    for (var k = first; k < stop; k += SG) {
      // All loads come first: SwiftShader makes branches of each, and keeps registers only between branches.
      //@unroll r 0..MR
      let x{r} = A[a{r} + k];
      //@end
      //@unroll q 0..QUADS
      //@unroll c 0..NR
      let b{c}_{q} = weight4(W[w{c} + k / 4u + {q}u]);
      //@end
      //@end
      //@unroll q 0..QUADS
      //@unroll r 0..MR
      {
        let y0 = subgroupBroadcast(x{r}, {q}u * 4u);
        let y1 = subgroupBroadcast(x{r}, {q}u * 4u + 1u);
        let y2 = subgroupBroadcast(x{r}, {q}u * 4u + 2u);
        let y3 = subgroupBroadcast(x{r}, {q}u * 4u + 3u);
        //@unroll c 0..NR
        s{r}_{c} = fma(y3, b{c}_{q}.w, fma(y2, b{c}_{q}.z, fma(y1, b{c}_{q}.y, fma(y0, b{c}_{q}.x, s{r}_{c}))));
        //@end
      }
      //@end
      //@end
    }
    //@if TAIL
    for (var k = max(first, whole); k < min(first + CHUNK, params.K); k++) {
      //@unroll c 0..NR
      let b{c} = weight4(W[w{c} + k / 4u])[k % 4u];
      //@end
      //@unroll r 0..MR
      let x{r} = A[a{r} + k - lane];
      //@unroll c 0..NR
      s{r}_{c} = fma(x{r}, b{c}, s{r}_{c});
      //@end
      //@end
    }
    //@endif
    //@unroll r 0..MR
    //@unroll c 0..NR
    total{r}_{c} += s{r}_{c};
    //@end
    //@end
  }
  //@unroll r 0..MR
  //@unroll c 0..NR
  finish(total{r}_{c}, m0 + {r}u, n0 + {c}u * SG);
  //@end
  //@end
}
`,
  matmul_tile: `// Matrix product for GPUs: tiles of A and W go through workgroup memory. Operands: matmul_operands.wgsl,
// their quads: matmul_quads.wgsl.
//
// One workgroup computes BM × BN values, BM = TY · MR, BN = TX · NR. Per step of 4 · QUADS features its WG threads load BM
// rows of A and BN rows of W together, neighbours reading neighbouring quads; then thread (x, y) of the first TX × TY
// multiplies rows y, y + TY, … by columns x, x + TX, …. Few rows make few products but need as many weights, so for them
// more threads load than multiply. Workgroup memory holds quads along k, PITCH = QUADS + 1 per row, which keeps rows in
// different banks: (BM + BN) · PITCH · 16 bytes.
// Constants: WG, TX, TY, MR, NR, QUADS (4 · QUADS divides CHUNK).

const BM = TY * MR;
const BN = TX * NR;
const PITCH = QUADS + 1u;

var<workgroup> tileA: array<vec4f, BM * PITCH>;
var<workgroup> tileW: array<vec4f, BN * PITCH>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let x = thread % TX;
  let y = thread / TX;
  //@unroll r 0..MR
  //@unroll c 0..NR
  var s{r}_{c} = 0.0;
  var total{r}_{c} = 0.0;
  //@end
  //@end
  for (var q0 = 0u; 4u * q0 < params.K; q0 += QUADS) {
    for (var i = thread; i < BM * QUADS; i += WG) {
      tileA[i / QUADS * PITCH + i % QUADS] = quadOfA(min(m0 + i / QUADS, params.M - 1u), q0 + i % QUADS);
    }
    for (var i = thread; i < BN * QUADS; i += WG) {
      tileW[i / QUADS * PITCH + i % QUADS] = quadOfW(min(n0 + i / QUADS, params.N - 1u), q0 + i % QUADS);
    }
    workgroupBarrier();
    if (y < TY) {
      for (var q = 0u; q < QUADS; q++) {
        //@unroll c 0..NR
        let b{c} = tileW[(x + {c}u * TX) * PITCH + q];
        //@end
        //@unroll r 0..MR
        {
          let a = tileA[(y + {r}u * TY) * PITCH + q];
          //@unroll c 0..NR
          s{r}_{c} = fma(a.w, b{c}.w, fma(a.z, b{c}.z, fma(a.y, b{c}.y, fma(a.x, b{c}.x, s{r}_{c}))));
          //@end
        }
        //@end
      }
    }
    workgroupBarrier();
    if (4u * (q0 + QUADS) % CHUNK == 0u) {
      //@unroll r 0..MR
      //@unroll c 0..NR
      total{r}_{c} += s{r}_{c};
      s{r}_{c} = 0.0;
      //@end
      //@end
    }
  }
  if (y < TY) {
    //@unroll r 0..MR
    //@unroll c 0..NR
    finish(total{r}_{c} + s{r}_{c}, m0 + y + {r}u * TY, n0 + x + {c}u * TX);
    //@end
    //@end
  }
}
`,
  mean_rows: `// Y[g, c] = mean over the rows i of group g of X[rows[i], c]: the source of mean ablation.
//
// X [*, C] rows of \`stride\` from \`offset\`; groups [R] of (first, count) into rows; Y [R, C].
// Constants: WG. One workgroup averages one group, thread t columns t, t + WG, …; rows are added in order.

struct Params { R: u32, C: u32, offset: u32, stride: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> groups: array<vec2u>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> Y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let g = group.y * params.gridX + group.x;
  if (g >= params.R) { return; }
  let first = groups[g].x;
  let count = groups[g].y;
  for (var c = thread; c < params.C; c += WG) {
    var total = 0.0;
    for (var i = first; i < first + count; i++) { total += X[params.offset + rows[i] * params.stride + c]; }
    Y[g * params.C + c] = total / f32(count);
  }
}
`,
  quantize_codes: `// codes[first + r, k] = the code nearest to X[r, k] / scale. Input: quantize_input.wgsl, codes: quantized_values.wgsl.
//
// X [rows, K] without padding. scales: those of the whole part; NF4 one for each 64 elements, counted row by row, int8
// one for each row.
// NF4: x · (1 / absmax), as bitsandbytes computes it, and the lower of two equally near codes.
// int8: x / scale, and the even of two equally near codes.
// Constants: WG, NF4 (or else int8), CODES (codes in a word). One thread makes one word, then steps on by the grid.

struct Params { count: u32, threads: u32, rowWords: u32, first: u32, K: u32 }

@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> codes: array<u32>;

//@if NF4
// The number of midpoints between codes that lie below x. They are rounded down to f32, so that \`>\` is right for all x.
fn encode(x: f32) -> u32 {
  return u32(x > -0.8480964303016663) + u32(x > -0.6106329560279846) + u32(x > -0.4599952697753906)
    + u32(x > -0.33967944979667664) + u32(x > -0.23460741341114044) + u32(x > -0.13791173696517944)
    + u32(x > -0.045525018125772476) + u32(x > 0.03979014977812767) + u32(x > 0.120255246758461)
    + u32(x > 0.2035212516784668) + u32(x > 0.2920137643814087) + u32(x > 0.3893125355243683)
    + u32(x > 0.5016633868217468) + u32(x > 0.6427869200706482) + u32(x > 0.8614783883094788);
}

// Where 1 / absmax would not be finite, everything becomes 0: values below 2^-126 are 0 to most adapters anyway.
fn inverse(absmax: f32) -> f32 {
  return select(0.0, 1.0 / absmax, absmax >= 0x1p-126f);
}
//@endif

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) {
    let row = i / params.rowWords;
    let column = (i % params.rowWords) * CODES;
    let rowStart = row * params.K;
    //@if NF4
    // Where rows are no multiple of 8 elements, a block may end inside a word.
    let place = params.first * params.K + rowStart + column;
    let blockNumber = place / 64u;
    let before = inverse(scales[blockNumber]);
    let after = inverse(scales[min((place + CODES - 1u) / 64u, arrayLength(&scales) - 1u)]);
    //@else
    let scale = scales[params.first + row];
    //@endif
    var word = 0u;
    //@unroll e 0..CODES
    {
      let k = column + {e}u;
      let x = select(0.0, element(rowStart + min(k, params.K - 1u)), k < params.K);
      //@if NF4
      let code = encode(x * select(after, before, (place + {e}u) / 64u == blockNumber));
      word |= code << (4u * ({e}u ^ 1u));
      //@else
      let code = select(0, i32(round(x / scale)), scale > 0.0);
      word |= (bitcast<u32>(code) & 0xffu) << (8u * {e}u);
      //@endif
    }
    //@end
    codes[params.first * params.rowWords + i] = word;
  }
}
`,
  quantize_input: `// Weights as they are in a file, which the quantising kernels read: f32, or f16 or bf16 two to a word.
//
// Constants: HALF (f16 or bf16), BF16.

@group(0) @binding(0) var<storage, read> X: array<u32>;

fn element(i: u32) -> f32 {
  //@if HALF
  let word = X[i / 2u];
  //@if BF16
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, i % 2u == 1u));
  //@else
  let pair = unpack2x16float(word);
  return select(pair.x, pair.y, i % 2u == 1u);
  //@endif
  //@else
  return bitcast<f32>(X[i]);
  //@endif
}

`,
  quantize_scales: `// scales[first + g] = max |x| of group g, for int8 divided by 127. Input: quantize_input.wgsl.
//
// A group is \`size\` consecutive elements (NF4: 64, the last group may have fewer; int8: a row) of the \`count\` in X.
// refused: one value, set to 1 if an element is not finite.
// Constants: WG, INT8. One workgroup for one group.

struct Params { count: u32, size: u32, groups: u32, first: u32, gridX: u32 }

@group(0) @binding(1) var<storage, read_write> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> refused: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) thread: u32) {
  let group = id.y * params.gridX + id.x;
  if (group >= params.groups) { return; }
  let begin = group * params.size;
  let end = min(begin + params.size, params.count);
  var largest = 0.0;
  var broken = 0.0;
  for (var i = begin + thread; i < end; i += WG) {
    let x = element(i);
    // By bits, since WGSL lets compilers presume that there are no infinities.
    if ((bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u) { broken = 1.0; }
    largest = max(largest, abs(x));
  }
  let absmax = reduceMax(largest, thread);
  if (reduceMax(broken, thread) > 0.0 && thread == 0u) { refused[0] = 1.0; }
  if (thread == 0u) {
    //@if INT8
    // Divisions may be off by an ulp or two; what is left over, which is exact, corrects them.
    let quotient = absmax / 127.0;
    scales[params.first + group] = quotient + ((absmax - 128.0 * quotient) + quotient) / 127.0;
    //@else
    scales[params.first + group] = absmax;
    //@endif
  }
}
`,
  quantized_values: `// What the codes of a quantised weight stand for, before they are multiplied with their scale.
//
// NF4: 8 codes in a word. Element 2i of a row is in the high nibble of byte i, element 2i + 1 in the low one.
// int8: 4 codes in a word, two's complement.
// Constants: NF4 (or else int8), WG threads of a workgroup.

//@if NF4
// The normal distribution's quantiles of the QLoRA paper, as bitsandbytes rounds them.
const NF4_VALUES = array<f32, 16>(
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
  -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
  0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
);

// An array in registers would be copied for each look-up.
var<workgroup> values: array<f32, 16>;

// To be called before anything else, by all threads.
fn prepareValues(thread: u32) {
  for (var i = thread; i < 16u; i += WG) { values[i] = NF4_VALUES[i]; }
  workgroupBarrier();
}

// The value of code \`i\` of a word.
fn codeValue(word: u32, i: u32) -> f32 {
  return values[(word >> (4u * (i ^ 1u))) & 15u];
}
//@else
fn prepareValues(thread: u32) {}

fn codeValue(word: u32, i: u32) -> f32 {
  return f32(extractBits(bitcast<i32>(word), 8u * i, 8u));
}
//@endif

`,
  restoration: `// The four numbers of a patched run, from log-sum-exp and the logits of the correct and the incorrect answer:
//   P'(correct), P'(correct) − P*(correct), LD' − LD*, (LD' − LD*) / (LD − LD*)
// where P = exp(logit − lse), LD = logit(correct) − logit(incorrect), ' is the patched run, * the corrupt run, plain
// the clean run ("What Do VLMs NOTICE?", section 3).
//
// S [*, 3] = (lse, correct, incorrect); index [R] of (patched, corrupt, clean) rows of S; out [R, 4].
// Constants: WG. One thread computes one run.

struct Params { R: u32 }

@group(0) @binding(0) var<storage, read> S: array<f32>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

fn probability(row: u32) -> f32 { return exp(S[3u * row + 1u] - S[3u * row]); }
fn difference(row: u32) -> f32 { return S[3u * row + 1u] - S[3u * row + 2u]; }

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i >= params.R) { return; }
  let patched = index[3u * i];
  let corrupt = index[3u * i + 1u];
  let clean = index[3u * i + 2u];
  let p = probability(patched);
  let effect = difference(patched) - difference(corrupt);
  result[4u * i] = p;
  result[4u * i + 1u] = p - probability(corrupt);
  result[4u * i + 2u] = effect;
  result[4u * i + 3u] = effect / (difference(clean) - difference(corrupt));
}
`,
  rotary: `// Y[r, h, d] = X[r, h, d] · cos(p_r · f_d) + rotate(X)[r, h, d] · sin(p_r · f_d), as Hugging Face lays LLaMA out:
// rotate(X)[d] = −X[d + D/2] for the first half of the features, X[d − D/2] for the second;
// f_d = theta^(−2 (d mod D/2) / D). cos and sin come from a table, computed in f64 and rounded once.
//
// X [R, H · D] with rows of \`stride\` from \`offset\`, changed in place; positions [R]; table [positions, D/2] of (cos, sin).
// Constants: WG. One thread turns one pair (d, d + D/2), then steps on by the grid.

struct Params { count: u32, threads: u32, H: u32, half: u32, offset: u32, stride: u32 }

@group(0) @binding(0) var<storage, read_write> X: array<f32>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<vec2f>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) {
    let d = i % params.half;
    let h = i / params.half % params.H;
    let row = i / (params.half * params.H);
    let at = params.offset + row * params.stride + h * 2u * params.half + d;
    let turn = table[positions[row] * params.half + d];
    let x = X[at];
    let y = X[at + params.half];
    X[at] = x * turn.x - y * turn.y;
    X[at + params.half] = y * turn.x + x * turn.y;
  }
}
`,
} as const;

export type ShaderName = keyof typeof SHADERS;
