//@include quantize_input
// scales[first + g] = max |x| of group g, for int8 divided by 127. Input: quantize_input.wgsl.
//
// A group is `size` consecutive elements (NF4: 64, the last group may have fewer; int8: a row) of the `count` in X.
// refused: one value, set to 1 if an element is not finite.
// Constants: WG, INT8. One workgroup for one group.

struct Params { count: u32, size: u32, groups: u32, first: u32, gridX: u32 }

@group(0) @binding(1) var<storage, read_write> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> refused: array<f32>;

//@if INT8
// absmax / 127, rounded to nearest, in integers: compilers fold and reorder what floats are corrected by. There are no ties,
// 127 being odd. Below 2^-119 or so, where the quotient is subnormal, whatever the device's division gives.
fn scaleOf(absmax: f32) -> f32 {
  let bits = bitcast<u32>(absmax);
  let exponent = bits >> 23u;
  if (exponent < 8u) { return absmax / 127.0; }
  let mantissa = (bits & 0x7fffffu) | 0x800000u;
  // 24 bits of quotient: the mantissa by 2^7, or by 2^6 where that would make 25.
  let power = select(7u, 6u, mantissa >= 16646144u);  // 127 · 2^17
  let dividend = mantissa << power;
  let quotient = dividend / 127u + u32(2u * (dividend % 127u) > 127u);
  // A quotient rounded up to 2^24 carries into the exponent.
  return bitcast<f32>(((exponent - power - 1u) << 23u) + quotient);
}
//@endif

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) thread: u32) {
  let group = id.y * params.gridX + id.x;
  if (group >= params.groups) { return; }
  let begin = group * params.size;
  let end = min(begin + params.size, params.count);
  var largest = 0.0;
  var broken = 0.0;
  for (var i = begin + thread; i < end; i += WG) {
    let x = element(i);
    // By bits, since WGSL lets compilers presume that there are no infinities.
    if ((bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u) { broken = 1.0; }
    largest = max(largest, abs(x));
  }
  let absmax = reduceMax(largest, thread);
  if (reduceMax(broken, thread) > 0.0 && thread == 0u) { refused[0] = 1.0; }
  if (thread == 0u) {
    //@if INT8
    scales[params.first + group] = scaleOf(absmax);
    //@else
    scales[params.first + group] = absmax;
    //@endif
  }
}
