//@include matmul_operands matmul_quads
// Matrix product for GPUs: tiles of A and W go through workgroup memory. Operands: matmul_operands.wgsl,
// their quads: matmul_quads.wgsl.
//
// One workgroup computes BM × BN values, BM = TY · MR, BN = TX · NR. Per step of 4 · QUADS features its WG threads load BM
// rows of A and BN rows of W together, neighbours reading neighbouring quads; then thread (x, y) of the first TX × TY
// multiplies rows y, y + TY, … by columns x, x + TX, …. Few rows make few products but need as many weights, so for them
// more threads load than multiply. Workgroup memory holds quads along k, PITCH = QUADS + 1 per row, which keeps rows in
// different banks: (BM + BN) · PITCH · 16 bytes. The tiles are arrays of rows, so that few checks of bounds stay between the
// products. The quads of a step are not written out, and of a quad the rows are held while the columns come one by one:
// otherwise Intel's compiler loads so far ahead that 4 × 8 values per thread spill registers (`npm run gpu-check`).
// Constants: WG, TX, TY, MR, NR, QUADS (4 · QUADS divides CHUNK).

const BM = TY * MR;
const BN = TX * NR;
const PITCH = QUADS + 1u;

var<workgroup> tileA: array<array<vec4f, PITCH>, BM>;
var<workgroup> tileW: array<array<vec4f, PITCH>, BN>;

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
      tileA[i / QUADS][i % QUADS] = quadOfA(min(m0 + i / QUADS, params.M - 1u), q0 + i % QUADS);
    }
    for (var i = thread; i < BN * QUADS; i += WG) {
      tileW[i / QUADS][i % QUADS] = quadOfW(min(n0 + i / QUADS, params.N - 1u), q0 + i % QUADS);
    }
    workgroupBarrier();
    if (y < TY) {
      for (var q = 0u; q < QUADS; q++) {
        //@unroll r 0..MR
        let a{r} = tileA[y + {r}u * TY][q];
        //@end
        //@unroll c 0..NR
        {
          let b = tileW[x + {c}u * TX][q];
          //@unroll r 0..MR
          s{r}_{c} = fma(a{r}.w, b.w, fma(a{r}.z, b.z, fma(a{r}.y, b.y, fma(a{r}.x, b.x, s{r}_{c}))));
          //@end
        }
        //@end
      }
    }
    workgroupBarrier();
    if (4u * (q0 + QUADS) % CHUNK == 0u) {
      //@unroll r 0..MR
      //@unroll c 0..NR
      total{r}_{c} = fma(s{r}_{c}, params.one, total{r}_{c});
      s{r}_{c} = 0.0;
      //@end
      //@end
    }
  }
  if (y < TY) {
    //@unroll r 0..MR
    //@unroll c 0..NR
    finish(fma(s{r}_{c}, params.one, total{r}_{c}), m0 + y + {r}u * TY, n0 + x + {c}u * TX);
    //@end
    //@end
  }
}
