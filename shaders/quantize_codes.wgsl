//@include quantize_input
// codes[first + r, k] = the code nearest to X[r, k] / scale. Input: quantize_input.wgsl, codes: quantized_values.wgsl.
//
// X [rows, K] without padding. scales: those of the whole part; NF4 one for each 64 elements, counted row by row, int8
// one for each row.
// NF4: x · (1 / absmax) and the midpoints between codes as bitsandbytes rounds them, and at a midpoint the lower code.
// int8: x / scale, and the even of two equally near codes.
// Constants: WG, NF4 (or else int8), CODES (codes in a word). One thread makes one word, then steps on by the grid.

struct Params { count: u32, threads: u32, rowWords: u32, first: u32, K: u32, one: f32 }

@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> codes: array<u32>;

//@if NF4
// The number of midpoints between codes that lie below x: (a + b) / 2 in f32, rounded to nearest.
fn encode(x: f32) -> u32 {
  return u32(x > -0.8480963706970215) + u32(x > -0.6106328964233398) + u32(x > -0.4599952697753906)
    + u32(x > -0.33967941999435425) + u32(x > -0.23460739850997925) + u32(x > -0.13791173696517944)
    + u32(x > -0.045525018125772476) + u32(x > 0.03979014977812767) + u32(x > 0.120255246758461)
    + u32(x > 0.2035212516784668) + u32(x > 0.2920137643814087) + u32(x > 0.3893125355243683)
    + u32(x > 0.5016634464263916) + u32(x > 0.6427869200706482) + u32(x > 0.8614784479141235);
}

// 1 / absmax, rounded to nearest: a step of Newton's takes away what a division may be off. Where it would not be finite, everything
// becomes 0: values below 2^-126 are 0 to most adapters anyway.
fn inverse(absmax: f32) -> f32 {
  let near = 1.0 / absmax;
  return select(0.0, fma(near, fma(-absmax, near, 1.0), near), absmax >= 0x1p-126f);
}
//@else
// x / scale, rounded to nearest even where a division may be off.
fn quotient(x: f32, scale: f32) -> f32 {
  let near = x / scale;
  return fma(fma(-near, scale, x) / scale, params.one, near);
}
//@endif

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) {
    let row = i / params.rowWords;
    let column = (i % params.rowWords) * CODES;
    let rowStart = row * params.K;
    //@if NF4
    // Where rows are no multiple of 8 elements, a block may end inside a word.
    let place = params.first * params.K + rowStart + column;
    let blockNumber = place / 64u;
    let before = inverse(scales[blockNumber]);
    let after = inverse(scales[min((place + CODES - 1u) / 64u, arrayLength(&scales) - 1u)]);
    //@else
    let scale = scales[params.first + row];
    //@endif
    var word = 0u;
    //@unroll e 0..CODES
    {
      let k = column + {e}u;
      let x = select(0.0, element(rowStart + min(k, params.K - 1u)), k < params.K);
      //@if NF4
      let code = encode(x * select(after, before, (place + {e}u) / 64u == blockNumber));
      word |= code << (4u * ({e}u ^ 1u));
      //@else
      let code = select(0, i32(round(quotient(x, scale))), scale > 0.0);
      word |= (bitcast<u32>(code) & 0xffu) << (8u * {e}u);
      //@endif
    }
    //@end
    codes[params.first * params.rowWords + i] = word;
  }
}
