// Packs f32 values two to a word as f16 or bf16 (round to nearest, ties to even), or widens them again.
//
// TO_F32 0: Y[i] = pack(X[2i], X[2i+1]); TO_F32 1: Y[2i], Y[2i+1] = unpack(X[i]). `count` is the number of words.
// Constants: WG, TO_F32, BF16. One thread converts one word, then steps on by the grid.

struct Params { count: u32, threads: u32 }

//@if TO_F32
@group(0) @binding(0) var<storage, read> X: array<u32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
//@else
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<u32>;
//@endif

// By integers, because pack2x16float may round either way and leaves open what becomes of values that are too large.
fn f16Bits(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u; }
  if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; }  // 65520 and more: infinity
  if (magnitude <= 0x33000000u) { return sign; }            // half the smallest subnormal or less: 0
  if (magnitude < 0x38800000u) {                            // below 2^-14: subnormal, in units of 2^-24
    let shift = 126u - (magnitude >> 23u);
    let significand = (magnitude & 0x7fffffu) | 0x800000u;
    let rounding = (1u << (shift - 1u)) - 1u + ((significand >> shift) & 1u);
    return sign | ((significand + rounding) >> shift);
  }
  return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u);
}

// Not-a-number keeps a mantissa bit, so that rounding cannot turn it into infinity.
fn bf16Bits(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) {
    //@if TO_F32
    if (BF16 == 1u) {
      Y[2u * i] = bitcast<f32>(X[i] << 16u);
      Y[2u * i + 1u] = bitcast<f32>(X[i] & 0xffff0000u);
    } else {
      let pair = unpack2x16float(X[i]);
      Y[2u * i] = pair.x;
      Y[2u * i + 1u] = pair.y;
    }
    //@else
    if (BF16 == 1u) {
      Y[i] = bf16Bits(X[2u * i]) | (bf16Bits(X[2u * i + 1u]) << 16u);
    } else {
      Y[i] = f16Bits(X[2u * i]) | (f16Bits(X[2u * i + 1u]) << 16u);
    }
    //@endif
  }
}
