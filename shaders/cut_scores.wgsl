// S[entry, h, j] becomes −infinity for the heads h and columns j of every edit: edges of attention that are not there.
//
// S [entries, H, pitch], as words: WGSL may assume that no float is infinite. Each edit is 6 words: entry, first head, heads,
// first column, columns, index of its counter. `fired[counter]` counts the elements written.
// Constants: WG. One workgroup makes one edit, thread t takes elements t, t + WG, ….

struct Params { count: u32, gridX: u32, H: u32, pitch: u32 }

@group(0) @binding(0) var<storage, read_write> S: array<u32>;
@group(0) @binding(1) var<storage, read> edits: array<u32>;
@group(0) @binding(2) var<storage, read_write> fired: array<atomic<u32>>;

const MINUS_INFINITY = 0xff800000u;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let i = group.y * params.gridX + group.x;
  if (i >= params.count) { return; }
  let row = edits[6u * i] * params.H + edits[6u * i + 1u];
  let columns = edits[6u * i + 4u];
  let count = edits[6u * i + 2u] * columns;
  var written = 0u;
  for (var e = thread; e < count; e += WG) {
    S[(row + e / columns) * params.pitch + edits[6u * i + 3u] + e % columns] = MINUS_INFINITY;
    written++;
  }
  if (written > 0u) { atomicAdd(&fired[edits[6u * i + 5u]], written); }
}
