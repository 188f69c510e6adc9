//@include matmul_operands quantized_values
// Matrix product of few rows with a quantised weight, whose values are made in registers. Operands: matmul_operands.wgsl,
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
      total{r}_{c} = fma(s{r}_{c}, params.one, total{r}_{c});
      s{r}_{c} = 0.0;
      //@end
      //@end
    }
  }
  //@unroll r 0..MR
  //@unroll c 0..NR
  finish(fma(s{r}_{c}, params.one, total{r}_{c}), m0 + {r}u, n0 + {c}u * WG);
  //@end
  //@end
}
