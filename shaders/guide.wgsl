// E[i] = U[i] + guidance · (E[count + i] − U[i]) with U[i] = E[i]: classifier-free guidance, in place (Ho and Salimans, 2022).
//
// E [2 · count]: the unconditioned prediction, then the conditioned one.
// Constants: WG. One thread takes one value, then steps on by the grid.

struct Params { count: u32, threads: u32, guidance: f32 }

@group(0) @binding(0) var<storage, read_write> E: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  for (var i = id.x; i < params.count; i += params.threads) {
    let free = E[i];
    E[i] = fma(params.guidance, E[params.count + i] - free, free);
  }
}
