// result[r, i] = (id, bits of L[r, id]) of the K largest values of a row of logits, the largest first; of equal ones the first.
//
// L [R, V] contiguous f32, V < 2²⁴; result [R, K, 2]. A NaN is never among them.
// Constants: WG threads of a workgroup. One workgroup takes one row and goes through it K times: each time for the largest of
// what comes behind the one found before.

struct Params { R: u32, V: u32, K: u32, gridX: u32 }

@group(0) @binding(0) var<storage, read> L: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<u32>;

const LOWEST = -3.4028234e38;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let r = group.y * params.gridX + group.x;
  if (r >= params.R) { return; }
  let first = r * params.V;
  var lastValue = 0.0;
  var lastId = 0u;
  for (var i = 0u; i < params.K; i++) {
    var value = LOWEST;
    var id = params.V;
    for (var v = thread; v < params.V; v += WG) {
      let x = L[first + v];
      let behind = i == 0u || x < lastValue || (x == lastValue && v > lastId);
      if (behind && (x > value || id == params.V)) {
        value = x;
        id = v;
      }
    }
    lastValue = reduceMax(value, thread);
    // Whole numbers below 2²⁴ are exact.
    lastId = params.V - u32(reduceMax(select(0.0, f32(params.V - id), value == lastValue), thread));
    if (thread == 0u) {
      result[2u * (r * params.K + i)] = lastId;
      result[2u * (r * params.K + i) + 1u] = bitcast<u32>(lastValue);
    }
  }
}
