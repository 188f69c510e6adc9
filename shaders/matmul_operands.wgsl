// C[m, n] = act( Σ_k A[m, k] · W[n, k] + bias[n] ) + R[m, n]      operands and epilogue of all matmul kernels
//
// A [M, K] f32, rows of `aStride` elements from element `aOffset`.
// W [N, K] in PyTorch's order (out features × in features), f32, f16 or bf16; rows padded with zeros to `wStride`
//   elements, a multiple of 4. Bound are the rows of one part; `nFirst` is the part's first row.
// bias [N], R [M, N] (rows of `rStride`), C [M, N] (rows of `cStride`).
// Constants: CHUNK, HAS_BIAS, HAS_RESIDUAL, VEC4 (rows of A start at multiples of 4 elements and K is a multiple of 4).
//   The prelude defines act as `activate` and the loading of weights as `weight4`.
//
// In every kernel every C[m, n] is the sum, chunk after chunk, of chains of CHUNK fma over ascending k (the last may be
// shorter): chains of limited length round less. So a row does not depend on the rows beside it, and all kernels and tiles
// give the same bits on one device. Whatever else is added is added by fma(a, params.one, b), a runtime 1: the bits of
// a + b, which compilers may contract with a product before it or add in another order. Those of software adapters do neither,
// so the sums of chains in matmul_subgroup and matmul_portable are plain: there a load costs more than it.

struct Params {
  M: u32, N: u32, K: u32, nFirst: u32,
  aOffset: u32, aStride: u32, wStride: u32,
  rOffset: u32, rStride: u32, cOffset: u32, cStride: u32,
  one: f32,
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
  value = fma(value, params.one, bias[column]);
  //@endif
  value = activate(value);
  //@if HAS_RESIDUAL
  value = fma(value, params.one, R[params.rOffset + m * params.rStride + column]);
  //@endif
  C[params.cOffset + m * params.cStride + column] = value;
}

