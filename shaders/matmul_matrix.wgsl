//@include matmul_operands matmul_quads
// Matrix product on a GPU's matrix units, through Dawn's experimental subgroup matrices: f16 operands, f32 sums.
// Operands: matmul_operands.wgsl, their quads: matmul_quads.wgsl.
//
// An f32 is split into two f16: high has its upper 11 bits, low the next 11, times SCALE = 2¹¹ so that it has the range of
// high. Then A · Wᵀ = high · high + (low · high + high · low) / SCALE, but for a rest of at most 2⁻²¹ of each product, in
// the mean much less. Weights stored as f16 have no low part (SPLIT = 0) and leave at most 2⁻²³. Values below 2⁻¹⁴ keep 11 bits,
// and so an error of 2⁻²⁶ or less. Values beyond 65504 become infinite, and results NaN.
//
// One workgroup computes BM × BN values with DOWN × ACROSS subgroups of SG lanes; a subgroup owns TM × TN matrices of SM × SN
// values. Per step of STEP features all threads bring BM rows of A and BN rows of W into workgroup memory, split, in rows of
// PITCH elements; then each subgroup multiplies matrices of SK features. The sums leave through workgroup memory, matrix by
// matrix, as which lane holds which value is not known. Workgroup memory: 2 · PITCH · (2 BM + (1 + SPLIT) BN) bytes for
// operands and 8 · SM · SN bytes per subgroup for sums.
// Constants: SM, SN, SK (the device's matrices), SG, DOWN, ACROSS, TM, TN, STEP (a multiple of SK), SPLIT.

const WG = SG * DOWN * ACROSS;
const BM = DOWN * TM * SM;
const BN = ACROSS * TN * SN;
const PITCH = STEP + 8u;
const SCALE = 2048.0;

alias Left = subgroup_matrix_left<f16, SK, SM>;
alias Right = subgroup_matrix_right<f16, SN, SK>;
alias Sums = subgroup_matrix_result<f32, SN, SM>;

var<workgroup> highA: array<f16, BM * PITCH>;
var<workgroup> lowA: array<f16, BM * PITCH>;
var<workgroup> highW: array<f16, BN * PITCH>;
//@if SPLIT
var<workgroup> lowW: array<f16, BN * PITCH>;
//@endif
var<workgroup> sums: array<f32, 2u * DOWN * ACROSS * SM * SN>;

// To 11 bits by integers: compilers drop a conversion to f16 and back. Below f16's normal
// range, 2⁻¹⁴, all is left to the low part.
fn highOf(value: vec4f) -> vec4f {
  let rounded = bitcast<vec4f>((bitcast<vec4u>(value) + 0x1000u) & vec4u(0xffffe000u));
  return select(rounded, vec4f(), abs(value) < vec4f(6.103515625e-5));
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) owner: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let m0 = group.y * BM;
  let n0 = group.x * BN;
  let rowA = owner / ACROSS * TM * SM;
  let rowW = owner % ACROSS * TN * SN;
  //@unroll r 0..TM
  //@unroll c 0..TN
  var high{r}_{c}: Sums;
  var low{r}_{c}: Sums;
  //@end
  //@end
  for (var k0 = 0u; k0 < params.K; k0 += STEP) {
    for (var i = thread; i < BM * STEP / 4u; i += WG) {
      let row = i / (STEP / 4u);
      let q = i % (STEP / 4u);
      let value = quadOfA(min(m0 + row, params.M - 1u), k0 / 4u + q);
      let high = highOf(value);
      let low = (value - high) * SCALE;
      for (var j = 0u; j < 4u; j++) {
        highA[row * PITCH + 4u * q + j] = f16(high[j]);
        lowA[row * PITCH + 4u * q + j] = f16(low[j]);
      }
    }
    for (var i = thread; i < BN * STEP / 4u; i += WG) {
      let row = i / (STEP / 4u);
      let q = i % (STEP / 4u);
      let value = quadOfW(min(n0 + row, params.N - 1u), k0 / 4u + q);
      //@if SPLIT
      let high = highOf(value);
      let low = (value - high) * SCALE;
      //@else
      let high = value;
      //@endif
      for (var j = 0u; j < 4u; j++) {
        highW[row * PITCH + 4u * q + j] = f16(high[j]);
        //@if SPLIT
        lowW[row * PITCH + 4u * q + j] = f16(low[j]);
        //@endif
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < STEP; k += SK) {
      //@unroll r 0..TM
      let a{r} = rowA + {r}u * SM;
      let highA{r} = subgroupMatrixLoad<Left, row_major>(&highA, a{r} * PITCH + k, PITCH);
      let lowA{r} = subgroupMatrixLoad<Left, row_major>(&lowA, a{r} * PITCH + k, PITCH);
      //@end
      //@unroll c 0..TN
      {
        let w = rowW + {c}u * SN;
        let highW{c} = subgroupMatrixLoad<Right, col_major>(&highW, w * PITCH + k, PITCH);
        //@if SPLIT
        let lowW{c} = subgroupMatrixLoad<Right, col_major>(&lowW, w * PITCH + k, PITCH);
        //@endif
        //@unroll r 0..TM
        high{r}_{c} = subgroupMatrixMultiplyAccumulate(highA{r}, highW{c}, high{r}_{c});
        low{r}_{c} = subgroupMatrixMultiplyAccumulate(lowA{r}, highW{c}, low{r}_{c});
        //@if SPLIT
        low{r}_{c} = subgroupMatrixMultiplyAccumulate(highA{r}, lowW{c}, low{r}_{c});
        //@endif
        //@end
      }
      //@end
    }
    workgroupBarrier();
  }
  let first = 2u * owner * SM * SN;
  //@unroll r 0..TM
  //@unroll c 0..TN
  subgroupMatrixStore<row_major>(&sums, first, high{r}_{c}, SN);
  subgroupMatrixStore<row_major>(&sums, first + SM * SN, low{r}_{c}, SN);
  workgroupBarrier();
  for (var i = lane; i < SM * SN; i += SG) {
    let sum = sums[first + i] + sums[first + SM * SN + i] / SCALE;
    finish(sum, m0 + rowA + {r}u * SM + i / SN, n0 + rowW + {c}u * SN + i % SN);
  }
  workgroupBarrier();
  //@end
  //@end
}
