//@include matmul_operands matmul_quads quantized_values
// Matrix product of one row with a quantised weight, for GPUs: chunks side by side as in matmul_row.wgsl, values made in registers
// as in matmul_quantized.wgsl, and so their bits. Operands: matmul_operands.wgsl, codes: quantized_values.wgsl.
//
// K is a multiple of 64. W: SPAN codes at a time. scales: NF4 one for each 64 elements of the part's rows, int8 one for each row.
// One workgroup computes NR values of one row with NR · LANES threads. Thread (c, l) makes the chain of chunk l of column c, of
// the next LANES chunks then, and so on. The codes of all chunks come through workgroup memory at once, neighbouring threads reading
// neighbouring 16 bytes, the row of A as many elements of each chunk at a time as 16 bytes of codes stand for.
// Bytes: 16 · LANES · (SPAN / 4 + 1) of A, 16 · WG · (CHUNK / SPAN + 1) of codes and 4 · WG of sums.
// Constants: MR = 1, NR, LANES, WG = NR · LANES, NF4, CODES (codes in a word), OPTIONAL = HAS_BIAS + HAS_RESIDUAL.

const SPAN = 4u * CODES; // elements, CODES quads
const SPANS = CHUNK / SPAN;

@group(0) @binding(3u + OPTIONAL) var<storage, read> scales: array<f32>;

var<workgroup> tileA: array<array<vec4f, CODES + 1u>, LANES>;
var<workgroup> tileW: array<array<vec4u, SPANS + 1u>, WG>;
var<workgroup> chains: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  prepareValues(thread);
  let m = group.y;
  let n0 = group.x * NR;
  let column = thread / LANES;
  let lane = thread % LANES;
  let own = min(n0 + column, params.N - 1u);
  let spans = params.wStride / SPAN; // of a row
  //@if NF4
  let blocks = params.K / 64u;
  //@else
  let scale = scales[own];
  //@endif
  var total = 0.0;
  for (var chunk0 = 0u; chunk0 * CHUNK < params.K; chunk0 += LANES) {
    // Beyond K any codes: A is 0 there.
    for (var i = thread; i < WG * SPANS; i += WG) {
      let row = min(n0 + i / (LANES * SPANS), params.N - 1u);
      tileW[i / SPANS][i % SPANS] = W[row * spans + min(chunk0 * SPANS + i % (LANES * SPANS), spans - 1u)];
    }
    //@if NF4
    let pair = 2u * (chunk0 + lane);
    let scaleLow = scales[own * blocks + min(pair, blocks - 1u)];
    let scaleHigh = scales[own * blocks + min(pair + 1u, blocks - 1u)];
    //@endif
    var s = 0.0;
    for (var span = 0u; span < SPANS; span++) {
      for (var i = thread; i < LANES * CODES; i += WG) {
        tileA[i / CODES][i % CODES] = quadOfA(m, (chunk0 + i / CODES) * (CHUNK / 4u) + span * CODES + i % CODES);
      }
      workgroupBarrier();
      let words = tileW[thread][span];
      //@if NF4
      var scale = scaleLow;
      if (2u * span >= SPANS) { scale = scaleHigh; }
      //@endif
      //@unroll q 0..CODES
      {
        const word = 4u * {q}u / CODES;
        const first = 4u * {q}u % CODES;
        let a = tileA[lane][{q}];
        s = fma(a.x, codeValue(words[word], first) * scale, s);
        s = fma(a.y, codeValue(words[word], first + 1u) * scale, s);
        s = fma(a.z, codeValue(words[word], first + 2u) * scale, s);
        s = fma(a.w, codeValue(words[word], first + 3u) * scale, s);
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
