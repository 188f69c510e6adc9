// X[row, c] = edit(X[row, c], batch, position, head, feature) for the listed rows, where `edit` is a user's function:
//   fn edit(value: f32, batch: u32, position: u32, head: u32, feature: u32) -> f32
// Its text is put in front of this one, with a look at pastLoopLimit() at the begin of every turn of its loops. A value whose
// loops took more turns than they may is left as it is, and told in overruns[hook]; nothing is computed after that.
//
// X [*, heads · size] with rows of `stride` from `offset`; rows [R] of (row, batch, position, 0); overruns [*].
// Constants: WG. One workgroup edits one row, thread t columns t, t + WG, ….

struct Params { R: u32, columns: u32, size: u32, offset: u32, stride: u32, gridX: u32, hook: u32, loopLimit: u32 }

@group(0) @binding(0) var<storage, read_write> X: array<f32>;
@group(0) @binding(1) var<storage, read> rows: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> overruns: array<atomic<u32>>;

// Turns that all loops took together for the value at hand.
var<private> loopTurns: u32;

fn pastLoopLimit() -> bool {
  loopTurns++;
  return loopTurns > params.loopLimit;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let r = group.y * params.gridX + group.x;
  if (r >= params.R) { return; }
  let row = rows[r];
  for (var c = thread; c < params.columns; c += WG) {
    if (atomicLoad(&overruns[params.hook]) != 0u) { return; }
    loopTurns = 0u;
    let at = params.offset + row.x * params.stride + c;
    let value = edit(X[at], row.y, row.z, c / params.size, c % params.size);
    if (loopTurns > params.loopLimit) {
      atomicStore(&overruns[params.hook], 1u);
      return;
    }
    X[at] = value;
  }
}
