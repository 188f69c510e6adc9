//@include quantize_input
// scales[first + g] = max |x| of group g, for int8 divided by 127. Input: quantize_input.wgsl.
//
// A group is `size` consecutive elements (NF4: 64, the last group may have fewer; int8: a row) of the `count` in X.
// refused: one value, set to 1 if an element is not finite.
// Constants: WG, INT8. One workgroup for one group.

struct Params { count: u32, size: u32, groups: u32, first: u32, gridX: u32 }

@group(0) @binding(1) var<storage, read_write> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> refused: array<f32>;

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
    // Divisions may be off by an ulp or two; what is left over, which is exact, corrects them.
    let quotient = absmax / 127.0;
    scales[params.first + group] = quotient + ((absmax - 128.0 * quotient) + quotient) / 127.0;
    //@else
    scales[params.first + group] = absmax;
    //@endif
  }
}
