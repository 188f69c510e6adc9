// The four numbers of a patched run, from log-sum-exp and the logits of the correct and the incorrect answer:
//   P'(correct), P'(correct) − P*(correct), LD' − LD*, (LD' − LD*) / (LD − LD*)
// where P = exp(logit − lse), LD = logit(correct) − logit(incorrect), ' is the patched run, * the corrupt run, plain
// the clean run ("What Do VLMs NOTICE?", section 3).
//
// Where LD = LD* the last one is not defined: NaN. WGSL leaves open what a division by zero gives, and an implementation may
// presume that no f32 is NaN, so the result is written as the words of its values.
//
// S [*, 3] = (lse, correct, incorrect); index [R] of (patched, corrupt, clean) rows of S; out [R, 4].
// Constants: WG. One thread computes one run.

struct Params { R: u32 }

@group(0) @binding(0) var<storage, read> S: array<f32>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> result: array<u32>;

const NAN = 0x7fc00000u;

fn probability(row: u32) -> f32 { return exp(S[3u * row + 1u] - S[3u * row]); }
fn difference(row: u32) -> f32 { return S[3u * row + 1u] - S[3u * row + 2u]; }

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i >= params.R) { return; }
  let patched = index[3u * i];
  let corrupt = index[3u * i + 1u];
  let clean = index[3u * i + 2u];
  let p = probability(patched);
  let effect = difference(patched) - difference(corrupt);
  let range = difference(clean) - difference(corrupt);
  let defined = range != 0.0;
  result[4u * i] = bitcast<u32>(p);
  result[4u * i + 1u] = bitcast<u32>(p - probability(corrupt));
  result[4u * i + 2u] = bitcast<u32>(effect);
  result[4u * i + 3u] = select(NAN, bitcast<u32>(effect / select(1.0, range, defined)), defined);
}
