// Four neighbouring values of a row of A or W, for kernels that bring tiles into workgroup memory.
// Operands: matmul_operands.wgsl.

// A[row, 4 q to 4 q + 3], zeros beyond K.
fn quadOfA(row: u32, q: u32) -> vec4f {
  let k = 4u * q;
  let first = params.aOffset + row * params.aStride + k;
  //@if VEC4
  if (k >= params.K) { return vec4f(); }
  return A[first / 4u];
  //@else
  var value = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (k + i < params.K) { value[i] = A[first + i]; }
  }
  return value;
  //@endif
}

//@if FLOATS
// W[row, 4 q to 4 q + 3], zeros beyond K.
fn quadOfW(row: u32, q: u32) -> vec4f {
  let quads = params.wStride / 4u;
  if (q >= quads) { return vec4f(); }
  return weight4(W[row * quads + q]);
}
//@endif

