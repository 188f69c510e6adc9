//@include attention_scores_operands
// Attention scores for software adapters. Operands: attention_scores_operands.wgsl.
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
    //@if LOWER
    let first = firsts[tile.x + {r}u];
    //@endif
    //@unroll c 0..NR
    if (j{c} < params.pitch) {
      //@if SOFTCAP
      s{r}_{c} = activate(s{r}_{c});
      //@endif
      //@if LOWER
      S[row + j{c}] = select(bitcast<f32>(params.minusInfinity), s{r}_{c} * params.scale, j{c} >= first && j{c} < seen);
      //@else
      S[row + j{c}] = select(bitcast<f32>(params.minusInfinity), s{r}_{c} * params.scale, j{c} < seen);
      //@endif
    }
    //@end
  }
  //@end
}
