// What the codes of a quantised weight stand for, before they are multiplied with their scale.
//
// NF4: 8 codes in a word. Element 2i of a row is in the high nibble of byte i, element 2i + 1 in the low one.
// int8: 4 codes in a word, two's complement.
// Constants: NF4 (or else int8), WG threads of a workgroup.

//@if NF4
// The normal distribution's quantiles of the QLoRA paper, as bitsandbytes rounds them.
const NF4_VALUES = array<f32, 16>(
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
  -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
  0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
);

// An array in registers would be copied for each look-up.
var<workgroup> values: array<f32, 16>;

// To be called before anything else, by all threads.
fn prepareValues(thread: u32) {
  for (var i = thread; i < 16u; i += WG) { values[i] = NF4_VALUES[i]; }
  workgroupBarrier();
}

// The value of code `i` of a word.
fn codeValue(word: u32, i: u32) -> f32 {
  return values[(word >> (4u * (i ^ 1u))) & 15u];
}
//@else
fn prepareValues(thread: u32) {}

fn codeValue(word: u32, i: u32) -> f32 {
  return f32(extractBits(bitcast<i32>(word), 8u * i, 8u));
}
//@endif

