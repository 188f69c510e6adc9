//@include quantized_values
// Y[r, k] = value(codes[first + r, k]) · scale: rows of a quantised matrix as f32. Codes: quantized_values.wgsl.
//
// codes [rows, words of a row], Y with the same rows, so padding becomes zeros.
// scales: NF4 one for each 64 elements, counted row by row over the `K` columns without padding; int8 one for each row.
// Constants: NF4, WG, CODES (codes in a word) = 4 · QUADS. One thread converts one word, then steps on by the grid.

struct Params { count: u32, threads: u32, rowWords: u32, first: u32, K: u32 }

@group(0) @binding(0) var<storage, read> codes: array<u32>;
@group(0) @binding(1) var<storage, read> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<vec4f>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) thread: u32) {
  prepareValues(thread);
  for (var i = id.x; i < params.count; i += params.threads) {
    let row = params.first + i / params.rowWords;
    let word = codes[params.first * params.rowWords + i];
    //@if NF4
    // Where rows are no multiple of 8 elements, a block may end inside a word.
    let element = row * params.K + (i % params.rowWords) * CODES;
    let blockNumber = element / 64u;
    let next = min((element + CODES - 1u) / 64u, arrayLength(&scales) - 1u);
    let before = scales[blockNumber];
    let after = scales[next];
    //@else
    let scale = scales[row];
    //@endif
    //@unroll q 0..QUADS
    {
      var y: vec4f;
      //@unroll e 0..4
      {
        let at = {q}u * 4u + {e}u;
        //@if NF4
        let scale = select(after, before, (element + at) / 64u == blockNumber);
        //@endif
        y[{e}] = codeValue(word, at) * scale;
      }
      //@end
      Y[i * QUADS + {q}u] = y;
    }
    //@end
  }
}
