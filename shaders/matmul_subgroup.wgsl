//@include matmul_operands
// Matrix product for software adapters, whose subgroups are one SIMD register. Operands: matmul_operands.wgsl.
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
