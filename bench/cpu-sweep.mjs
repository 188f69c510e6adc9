// The standard sweep on the CPU, by this library on a software adapter and by PyTorch (peers/torch_blip_sweep.py), in turn: what an expert
// would use where there is no GPU. Compared is processor time, which does not count what other programs take.
//
//   node bench/cpu-sweep.mjs [--rounds 3] [--python python3] [--adapter software] [--json FILE]
//
// PyTorch and numpy have to be there for that python. About five minutes a round on two cores.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from './measure.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    python: { type: 'string', default: 'python3' },
    adapter: { type: 'string', default: 'software' },
    json: { type: 'string' },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'cpu-sweep-'));
const here = import.meta.dirname;

/** Runs a program of its own and reads what it writes to `--json`. */
function measured(program, ...args) {
  const json = join(folder, 'figures.json');
  execFileSync(program, [...args, '--json', json], { stdio: ['ignore', 'inherit', 'inherit'] });
  return JSON.parse(readFileSync(json, 'utf8'));
}

const rounds = [];
for (let round = 0; round < Number(options.rounds); round++) {
  const peer = measured(options.python, join(here, 'peers/torch_blip_sweep.py'));
  const sweep = ['sweep', '--sample', '0', '--adapter', options.adapter];
  const ours = measured(process.execPath, join(here, 'run.mjs'), ...sweep);
  rounds.push({ peer, machine: ours.machine, ours: ours.sweep });
  if (peer.cells !== ours.sweep.cells)
    throw new Error(`${peer.cells} patches by PyTorch, ${ours.sweep.cells} by ours`);
  console.log(
    `round ${round + 1}: PyTorch ${peer.cpuSeconds.toFixed(1)} s of processor time, ours ${ours.sweep.cpuSeconds.toFixed(1)} s on ` +
      `${ours.machine.adapter.description}`,
  );
}
rmSync(folder, { recursive: true });
const ratios = rounds.map(({ peer, ours }) => peer.cpuSeconds / ours.cpuSeconds);
const middle = (of) => median(rounds.map(of)).toFixed(1);
console.log(
  `processor time: PyTorch ${middle(({ peer }) => peer.cpuSeconds)} s, ours ${middle(({ ours }) => ours.cpuSeconds)} s; ` +
    `PyTorch takes ${median(ratios).toFixed(2)} times as much (${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}); ` +
    `on the clock ${middle(({ peer }) => peer.seconds)} s and ${middle(({ ours }) => ours.seconds)} s`,
);
if (options.json) writeFileSync(options.json, `${JSON.stringify({ rounds, ratios }, null, 2)}\n`);
