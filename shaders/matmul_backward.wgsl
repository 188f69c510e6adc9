// X[m, k] (+)= Σ_n Y[m, n] · W[n, k]        the gradient of a product's input: X = ∂/∂A, Y = ∂/∂(A · Wᵀ)
//
// Y [M, *] f32, rows of `yStride` elements from element `yOffset`; W [N, K] in PyTorch's order, f32, f16 or bf16, rows padded
// with zeros to `wStride` elements, a multiple of 4. Bound are the rows of one part; `nFirst` is the part's first row and so the
// first column of Y that it meets. X [M, K], rows of `xStride` elements from element `xOffset`.
// Constants: CHUNK, SG lanes, SUBGROUPS (else lanes are threads, each reading for itself), MR rows of a tile, TAIL (N is no multiple
//   of SG), ACCUMULATE (the sums are added to what is there). The prelude defines the loading of weights as `weight4`.
//
// One workgroup computes MR × (4 · SG) values: lane l owns columns k0 + 4 l to k0 + 4 l + 3, which lie side by side in a row of W.
// Each X[m, k] is the sum, chunk after chunk, of chains of CHUNK fma over ascending n, as in matmul_operands.wgsl; rows do not
// depend on each other.

struct Params {
  M: u32, N: u32, K: u32, nFirst: u32,
  yOffset: u32, yStride: u32, wStride: u32, xOffset: u32, xStride: u32,
  one: f32,
}

@group(0) @binding(0) var<storage, read> Y: array<f32>;
@group(0) @binding(1) var<storage, read> W: array<WeightVec>;
@group(0) @binding(2) var<storage, read_write> X: array<f32>;

fn finish(sum: vec4f, m: u32, k: u32) {
  if (m >= params.M) { return; }
  let first = params.xOffset + m * params.xStride + k;
  for (var i = 0u; i < 4u; i++) {
    if (k + i < params.K) {
      //@if ACCUMULATE
      X[first + i] = fma(sum[i], params.one, X[first + i]);
      //@else
      X[first + i] = sum[i];
      //@endif
    }
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
  let m0 = group.y * MR;
  let k = (group.x * SG + lane) * 4u;
  let quads = params.wStride / 4u;
  let column = min(k / 4u, quads - 1u);
  //@unroll r 0..MR
  let y{r} = params.yOffset + min(m0 + {r}u, params.M - 1u) * params.yStride + params.nFirst;
  var total{r} = vec4f();
  //@end
  let whole = params.N - params.N % SG;
  for (var first = 0u; first < params.N; first += CHUNK) {
    //@unroll r 0..MR
    var s{r} = vec4f();
    //@end
    let stop = min(first + CHUNK, whole);
    for (var n = first; n < stop; n += SG) {
      // All loads come first, as in matmul_subgroup.wgsl.
      //@if SUBGROUPS
      //@unroll r 0..MR
      let a{r} = Y[y{r} + n + lane];
      //@end
      //@unroll t 0..SG
      let b{t} = weight4(W[(n + {t}u) * quads + column]);
      //@end
      //@unroll t 0..SG
      //@unroll r 0..MR
      s{r} = fma(vec4f(subgroupBroadcast(a{r}, {t}u)), b{t}, s{r});
      //@end
      //@end
      //@else
      for (var t = n; t < n + SG; t++) {
        let b = weight4(W[t * quads + column]);
        //@unroll r 0..MR
        s{r} = fma(vec4f(Y[y{r} + t]), b, s{r});
        //@end
      }
      //@endif
    }
    //@if TAIL
    for (var n = max(first, whole); n < min(first + CHUNK, params.N); n++) {
      let b = weight4(W[n * quads + column]);
      //@unroll r 0..MR
      s{r} = fma(vec4f(Y[y{r} + n]), b, s{r});
      //@end
    }
    //@endif
    //@unroll r 0..MR
    total{r} = fma(s{r}, vec4f(params.one), total{r});
    //@end
  }
  //@unroll r 0..MR
  finish(total{r}, m0 + {r}u, k);
  //@end
}
