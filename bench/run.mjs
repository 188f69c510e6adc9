// The bench by itself, without the command line of the library:
//
//   node bench/run.mjs [kernels|blocks|forward|sweep …] [--onnx] [--tune] [--rounds N] [--sample N] [--layers N]
//                      [--only REGEXP] [--json FILE]
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    onnx: { type: 'boolean' },
    tune: { type: 'boolean' },
    rounds: { type: 'string' },
    sample: { type: 'string' },
    layers: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'string' },
  },
});
execFileSync(process.execPath, [fileURLToPath(new URL('../tools/setup.mjs', import.meta.url)), '--build'], {
  stdio: 'inherit',
});
const { PARTS, runBench } = await import('./index.mjs');
const unknown = positionals.filter((part) => !PARTS.includes(part));
if (unknown.length > 0) throw new Error(`unknown part ${unknown.join(', ')}; there are ${PARTS.join(', ')}`);
const count = (text) => (text === undefined ? undefined : Number(text));
await runBench({
  parts: positionals.length > 0 ? positionals : PARTS,
  onnx: values.onnx,
  tune: values.tune,
  rounds: count(values.rounds),
  sample: count(values.sample),
  layers: count(values.layers),
  only: values.only ? new RegExp(values.only) : undefined,
  json: values.json,
});
