// Measures the candidates of every choice on this machine's adapter; the winners go to the user's cache, where openGpu
// finds them.
import { tuneKernels, tuningBlock, tuningLine } from '../dist/bench/index.js';
import { writeTuning } from '../dist/platform/node/tuning.js';
import { cpuTime } from './measure.mjs';

/**
 * @param {{ machine: object, rounds: number, only?: RegExp, log: (line: string) => void }} options `only`: keys to measure;
 *   choices measured before stay
 * @returns {Promise<object[]>} per key the time of every candidate in ms
 */
export async function tune(gpu, { machine, rounds, only, log }) {
  const onResult = (result) => log(tuningLine(result));
  const { table, results } = await tuneKernels(gpu, { rounds, only, cpuTime, onResult });
  const file = await writeTuning(gpu.capabilities, table);
  log(`${Object.keys(table).length} choices other than the default → ${file}`);
  log('\nFor an issue, or bench/RESULTS.md:\n');
  log(tuningBlock(describe(machine), results));
  return results;
}

function describe({ date, adapter, versions, cpu }) {
  const { vendor, architecture, description, subgroupSize, subgroupMatrix: matrix } = adapter;
  return [
    ['adapter and driver', [...new Set([vendor, architecture, description])].filter(Boolean).join(' · ')],
    ['subgroups', subgroupSize || 'of varying size'],
    ['matrix units', matrix ? `${matrix.M} × ${matrix.N} × ${matrix.K}, f16 with f32 sums` : 'none offered'],
    [
      'with',
      Object.entries(versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(', '),
    ],
    ['processor', cpu],
    ['date', date.slice(0, 10)],
  ];
}
