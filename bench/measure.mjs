// Times on the clock and in CPU time: what only Node can tell beside dist/bench.
import * as bench from '../dist/bench/index.js';

export { median, randomValues } from '../dist/bench/index.js';

/** Milliseconds that all threads of this process have run. */
export const cpuTime = () => process.cpuUsage().user / 1000 + process.cpuUsage().system / 1000;

/** Times contenders in alternation, in CPU time as well. */
export const alternate = (contenders, options) => bench.alternate(contenders, { ...options, cpuTime });

/** Milliseconds that `run` takes, on the clock and on all cores together. */
export async function stopwatch(run) {
  const before = cpuTime();
  const start = performance.now();
  const result = await run();
  const wall = performance.now() - start;
  return { wall, cpu: cpuTime() - before, result };
}

/** How many times as long `slow` takes: round by round, and in CPU time. */
export function ratio(slow, fast) {
  const rounds = slow.wall.map((ms, i) => ms / fast.wall[i]);
  return { rounds, median: bench.median(rounds), cpu: bench.median(slow.cpu) / bench.median(fast.cpu) };
}
