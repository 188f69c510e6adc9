// Weights as they are in a file, which the quantising kernels read: f32, or f16 or bf16 two to a word.
//
// Constants: HALF (f16 or bf16), BF16.

@group(0) @binding(0) var<storage, read> X: array<u32>;

fn element(i: u32) -> f32 {
  //@if HALF
  let word = X[i / 2u];
  //@if BF16
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, i % 2u == 1u));
  //@else
  let pair = unpack2x16float(word);
  return select(pair.x, pair.y, i % 2u == 1u);
  //@endif
  //@else
  return bitcast<f32>(X[i]);
  //@endif
}

