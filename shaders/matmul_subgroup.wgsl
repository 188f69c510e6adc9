// C[m, n] = act( Σ_k A[m, k] · W[n, k] + bias[n] ) + R[m, n]
//
// A [M, K] f32, rows of `aStride` elements from element `aOffset`.
// W [N, K] in PyTorch's order (out features × in features), f32, f16 or bf16; rows padded with zeros to `wStride`
//   elements, a multiple of 4. Bound are the rows of one part; `nFirst` is the part's first row.
// bias [N], R [M, N] (rows of `rStride`), C [M, N] (rows of `cStride`).
// Constants: SG lanes of a subgroup, QUADS = SG / 4, MR rows of A and NR columns per lane of a tile, HAS_BIAS,
//   HAS_RESIDUAL. The prelude defines act as `activate`.
//
// One workgroup is one subgroup and computes MR × (SG · NR) values: lane l owns columns n0 + l, n0 + SG + l, … and
// reads their weights as vec4 along k. Each of the MR rows of A is loaded once per SG steps of k, lane l taking
// k + l, and spread with subgroupBroadcast: on software adapters a load costs as much as 15 to 30 fma.
// Every C[m, n] is one chain of fma over ascending k, so it does not depend on M or on the tile.

struct Params {
  M: u32, N: u32, K: u32, nFirst: u32,
  aOffset: u32, aStride: u32, wStride: u32,
  rOffset: u32, rStride: u32, cOffset: u32, cStride: u32,
}

@group(0) @binding(0) var<storage, read> A: array<f32>;
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

@compute @workgroup_size(SG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let m0 = group.y * MR;
  let n0 = group.x * SG * NR + lane;
  let quads = params.wStride / 4u;
  let lastN = params.N - 1u;
  let lastM = params.M - 1u;
  let lastK = params.K - 1u;
  //@unroll c 0..NR
  let w{c} = min(n0 + {c}u * SG, lastN) * quads;
  //@end
  //@unroll r 0..MR
  let a{r} = params.aOffset + min(m0 + {r}u, lastM) * params.aStride;
  //@unroll c 0..NR
  var s{r}_{c} = 0.0;
  //@end
  //@end
  for (var k = 0u; k < params.K; k += SG) {
    let mine = k + lane;
    let inside = mine <= lastK;
    let at = min(mine, lastK);
    //@unroll r 0..MR
    let x{r} = select(0.0, A[a{r} + at], inside);
    //@end
    //@unroll q 0..QUADS
    {
      let quad = min(k / 4u + {q}u, quads - 1u);
      //@unroll c 0..NR
      let b{c} = weight4(W[w{c} + quad]);
      //@end
      //@unroll r 0..MR
      {
        let y0 = subgroupBroadcast(x{r}, {q}u * 4u);
        let y1 = subgroupBroadcast(x{r}, {q}u * 4u + 1u);
        let y2 = subgroupBroadcast(x{r}, {q}u * 4u + 2u);
        let y3 = subgroupBroadcast(x{r}, {q}u * 4u + 3u);
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
  finish(s{r}_{c}, m0 + {r}u, n0 + {c}u * SG);
  //@end
  //@end
}
