// C[m, n] = act( Σ_k A[m, k] · W[n, k] + bias[n] ) + R[m, n] without subgroups and without workgroup memory.
//
// Operands, epilogue and order of summation as in matmul_subgroup.wgsl.
// Constants: WG threads of a workgroup, MR rows and NR columns of one thread's tile, HAS_BIAS, HAS_RESIDUAL.
//
// One workgroup computes MR × (WG · NR) values; thread t owns columns n0 + t, n0 + WG + t, …. All threads read the
// same elements of A at the same time.

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
  var s{r}_{c} = 0.0;
  //@end
  //@end
  for (var k = 0u; k < params.K; k += 4u) {
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
  finish(s{r}_{c}, m0 + {r}u, n0 + {c}u * WG);
  //@end
  //@end
}
