//@include attention_scores_operands
// Attention scores for GPUs: keys and queries go through workgroup memory. Operands: attention_scores_operands.wgsl.
//
// One workgroup of SG threads computes MR entries × SG keys of one head, each thread one key. Per step of 4 · QUADS features
// all threads together load SG keys and MR queries, neighbours reading neighbouring quads. Keys are PITCH = QUADS + 1 quads apart,
// which keeps them in different banks: (SG · PITCH + MR · QUADS) · 16 bytes.
// Constants: SG, MR, QUADS.

const PITCH = QUADS + 1u;

var<workgroup> tileK: array<vec4f, SG * PITCH>;
var<workgroup> tileQ: array<vec4f, MR * QUADS>;

// Features d to d + 3 of the query head that starts at element `start`, zeros beyond D.
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
    //@if SOFTCAP
    s{r} = activate(s{r});
    //@endif
    //@if LOWER
    let seen = j >= firsts[e] && j < entries[e].z;
    //@else
    let seen = j < entries[e].z;
    //@endif
    S[((e - params.firstEntry) * params.H + h) * params.pitch + j] =
      select(bitcast<f32>(params.minusInfinity), s{r} * params.scale, seen);
  }
  //@end
}
