//@include matmul_operands
// Matrix product with neither subgroups nor workgroup memory, for software adapters without subgroups of a known size.
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
