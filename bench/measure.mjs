// Time, measured so that a machine whose speed drifts treats all contenders alike: in turns, one turn of each per round.

/**
 * A turn repeats what is shorter than this, in ms: its first run finds the caches full of what the contender before it
 * used, which is no property of either.
 */
const TURN_MS = 50;

/** @typedef {{ name: string, run: () => Promise<unknown> }} Contender */
/** @typedef {{ wall: number[], cpu: number[] }} Times milliseconds of a run, by rounds; `cpu` is the time of all threads of this process */

/**
 * Times contenders in alternation.
 *
 * @param {readonly Contender[]} contenders
 * @param {{ rounds: number, warmups?: number }} options
 * @returns {Promise<Map<string, Times>>}
 */
export async function alternate(contenders, { rounds, warmups = 1 }) {
  for (let i = 0; i < warmups; i++) for (const { run } of contenders) await run();
  const times = new Map(contenders.map(({ name }) => [name, { wall: [], cpu: [] }]));
  for (let round = 0; round < rounds; round++) {
    for (const { name, run } of contenders) {
      let runs = 0;
      const { wall, cpu } = await stopwatch(async () => {
        const start = performance.now();
        do {
          await run();
          runs++;
        } while (performance.now() - start < TURN_MS);
      });
      times.get(name).wall.push(wall / runs);
      times.get(name).cpu.push(cpu / runs);
    }
  }
  return times;
}

/** Milliseconds that `run` takes, on the clock and on all cores together. */
export async function stopwatch(run) {
  const before = process.cpuUsage();
  const start = performance.now();
  const result = await run();
  const wall = performance.now() - start;
  const { user, system } = process.cpuUsage(before);
  return { wall, cpu: (user + system) / 1000, result };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** How many times as long `slow` takes: round by round, and in CPU time. */
export function ratio(slow, fast) {
  const rounds = slow.wall.map((ms, i) => ms / fast.wall[i]);
  return { rounds, median: median(rounds), cpu: median(slow.cpu) / median(fast.cpu) };
}

/**
 * A wrong kernel is not timed.
 *
 * @param {(i: number) => number} expected the value of element `i`, computed in f64
 * @throws Error that names the case and the element
 */
export function checkSample(name, values, expected, { tolerance, count = 200 }) {
  for (let s = 0; s < count; s++) {
    const i = Math.floor(((s * 0.6180339887) % 1) * values.length);
    const error = Math.abs(values[i] - expected(i));
    if (!(error <= tolerance))
      throw new Error(`${name}: element ${i} is ${values[i]}, expected ${expected(i)}; not timed`);
  }
}

/** Uniform in [−0.5, 0.5), the same in every run (a linear congruential generator's upper bits). */
export function randomValues(count, seed = 1) {
  const values = new Float32Array(count);
  let state = seed >>> 0;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = (state >>> 8) * 2 ** -24 - 0.5;
  }
  return values;
}
