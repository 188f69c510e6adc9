// `notice bench` without the command line: for first-gpu.sh, whose folder has no other commands, and
// for cpu-sweep.mjs.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { openGpu } from '../dist/platform/node/adapter.js';
import { PARTS, runBench } from './index.mjs';
import { describeMachine, machineLine } from './machine.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    machine: { type: 'boolean', default: false },
    tune: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    sample: { type: 'string', default: '2' },
    adapter: { type: 'string', default: 'auto' },
    'subgroup-matrices': { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const gpuOptions = { adapter: options.adapter, subgroupMatrices: options['subgroup-matrices'] };

if (options.machine) {
  const gpu = await openGpu({ ...gpuOptions, subgroupMatrices: true });
  const machine = { ...describeMachine(gpu), limits: gpu.capabilities.limits };
  console.log(machineLine(machine));
  if (options.json) writeFileSync(options.json, JSON.stringify(machine));
  gpu.destroy();
} else {
  await runBench({
    parts: positionals.length > 0 ? positionals : PARTS,
    tune: options.tune,
    rounds: Number(options.rounds),
    sample: Number(options.sample),
    only: options.only === undefined ? undefined : new RegExp(options.only),
    json: options.json,
    gpu: gpuOptions,
  });
}
