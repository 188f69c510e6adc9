// Measures the candidates of every choice on this machine's adapter; the winners go to the user's cache, where openGpu
// finds them. No choice changes a result.
import { chooseMatmul, matmul, tuningTasks } from '../dist/kernels/index.js';
import { writeTuning } from '../dist/platform/node/tuning.js';
import { f32ToBf16, f32ToF16 } from '../dist/weights/index.js';
import { alternate, median, randomValues } from './measure.mjs';

const ENCODE = { f32: (values) => values, f16: f32ToF16, bf16: f32ToBf16 };
/** A candidate has to be this much faster than the default: less is noise. */
const MARGIN = 0.97;

/**
 * @param {{ rounds: number, only?: RegExp, log: (line: string) => void }} options `only`: keys to measure; choices
 *   measured before stay
 * @returns {Promise<object[]>} per key the time of every candidate in ms
 */
export async function tune(gpu, { rounds, only, log }) {
  const table = { ...gpu.capabilities.tuning };
  const results = [];
  for (const task of tuningTasks(gpu.capabilities)) {
    if (only && !only.test(task.key)) continue;
    const times = await gpu.work((w) => measure(w, task, rounds));
    const [usual] = times;
    const best = times.reduce((a, b) => (b.ms < a.ms ? b : a));
    const wins = best.ms < MARGIN * usual.ms;
    if (wins) table[task.key] = best.variant;
    else delete table[task.key];
    const shown = (wins ? best : usual).variant;
    log(
      `${task.key.padEnd(32)} ${usual.ms.toFixed(3)} ms by default, best ${best.ms.toFixed(3)} ms: ${Object.values(shown).join(' ')}${wins ? '' : ' (the default)'}`,
    );
    results.push({ key: task.key, times });
  }
  const file = await writeTuning(gpu.capabilities, table);
  log(`${Object.keys(table).length} choices other than the default → ${file}`);
  return results;
}

async function measure(w, { m, n, k, type, candidates }, rounds) {
  const a = w.upload(randomValues(m * k), m, k, 'a');
  const stored = ENCODE[type](randomValues(n * k, 2));
  const buffer = w.uploadWords(new Uint32Array(stored.buffer, 0, stored.byteLength / 4), 'w');
  const weight = {
    name: 'w',
    type,
    rows: n,
    columns: k,
    stride: k,
    parts: [{ buffer, firstRow: 0, rows: n }],
  };
  const out = w.empty(m, n, 'out');
  const chain = w.capabilities.software ? 1 : 50;
  const reference = await product(w, a, weight, { variant: chooseMatmul(w.capabilities, m, n, type) });
  const contenders = [];
  for (const variant of candidates) {
    const values = await product(w, a, weight, { variant });
    const wrong = values.findIndex((value, i) => !Object.is(value, reference[i]));
    if (wrong >= 0)
      throw new Error(
        `${JSON.stringify(variant)}: element ${wrong} is ${values[wrong]}, not ${reference[wrong]}`,
      );
    contenders.push({
      name: JSON.stringify(variant),
      run: () => {
        for (let i = 0; i < chain; i++) matmul(w, a, weight, { out, variant });
        return w.finish();
      },
    });
  }
  const times = await alternate(contenders, { rounds });
  return candidates.map((variant) => ({
    variant,
    ms: median(times.get(JSON.stringify(variant)).wall) / chain,
  }));
}

async function product(w, a, weight, options) {
  const result = matmul(w, a, weight, options);
  const [values] = await w.read(result);
  w.release(result);
  return values;
}
