//@include matmul_operands matmul_quads
// Matrix product of one row, or few, for GPUs: chunks side by side. Operands: matmul_operands.wgsl, their quads:
// matmul_quads.wgsl.
//
// One workgroup computes NR values of one row with NR · LANES threads. Thread (c, l) makes the chain of chunk l of column c, of
// the next LANES chunks then, and so on; the chains of a column do not depend on each other, only their sum has an order,
// and one thread makes it. So the bits are those of the other kernels, and a row of weights keeps LANES threads busy.
// Operands come through workgroup memory QUADS quads of every chunk at a time, neighbouring threads reading neighbouring
// quads; PITCH keeps chunks in different banks. Bytes: (NR + 1) · LANES · PITCH quads and NR · LANES sums.
// Constants: MR = 1, NR, LANES, WG = NR · LANES, QUADS (4 · QUADS divides CHUNK).

const PITCH = QUADS + 1u;
const CHUNK_QUADS = CHUNK / 4u;

var<workgroup> tileA: array<array<vec4f, PITCH>, LANES>;
var<workgroup> tileW: array<array<vec4f, PITCH>, WG>;
var<workgroup> chains: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let m = group.y;
  let n0 = group.x * NR;
  let column = thread / LANES;
  let lane = thread % LANES;
  var total = 0.0;
  for (var q0 = 0u; 4u * q0 < params.K; q0 += LANES * CHUNK_QUADS) {
    var s = 0.0;
    for (var step = 0u; step < CHUNK_QUADS; step += QUADS) {
      for (var i = thread; i < LANES * QUADS; i += WG) {
        tileA[i / QUADS][i % QUADS] = quadOfA(m, q0 + i / QUADS * CHUNK_QUADS + step + i % QUADS);
      }
      for (var i = thread; i < WG * QUADS; i += WG) {
        let row = min(n0 + i / (LANES * QUADS), params.N - 1u);
        tileW[i / QUADS][i % QUADS] = quadOfW(row, q0 + i / QUADS % LANES * CHUNK_QUADS + step + i % QUADS);
      }
      workgroupBarrier();
      //@unroll q 0..QUADS
      {
        let a = tileA[lane][{q}];
        let b = tileW[thread][{q}];
        s = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, s))));
      }
      //@end
      workgroupBarrier();
    }
    chains[thread] = s;
    workgroupBarrier();
    if (lane == 0u) {
      for (var l = 0u; l < LANES; l++) { total = fma(chains[column * LANES + l], params.one, total); }
    }
    workgroupBarrier();
  }
  if (lane == 0u) { finish(total, m, n0 + column); }
}
