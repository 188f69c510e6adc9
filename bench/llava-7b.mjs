// LLaVA-1.5 at 7B's dimensions with random weights: loading, a forward pass, generation, and a sweep of all heads at the
// last token under text corruption.
//
//   node bench/llava-7b.mjs [--layers 4] [--dtype f16|nf4|int8|…] [--folder DIR] [--parts forward,generation,sweep]
//                          [--repeat 0] [--adapter auto|hardware|software] [--subgroup-matrices] [--json FILE]
//
// The checkpoint is written into DIR (default: the system's temporary folder) and stays there for the next run.
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bytes } from '../dist/cli/plan.js';
import { openGpu } from '../dist/platform/node/adapter.js';
import { nodeFolder } from '../dist/platform/node/files.js';
import { measureForward, measureGeneration, measureLoad, measureSweep, textPair } from './large-model.mjs';
import { writeLlavaCheckpoint } from './llava-checkpoint.mjs';
import { describeMachine, machineLine } from './machine.mjs';
import { randomValues } from './measure.mjs';

const { values: options } = parseArgs({
  options: {
    layers: { type: 'string', default: '4' },
    dtype: { type: 'string', default: 'f16' },
    folder: { type: 'string' },
    tokens: { type: 'string', default: '4' },
    parts: { type: 'string', default: 'forward,generation,sweep' },
    repeat: { type: 'string', default: '0' },
    adapter: { type: 'string', default: 'auto' },
    'subgroup-matrices': { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const { dtype } = options;
const layers = Number(options.layers);
const folder = options.folder ?? join(tmpdir(), `llava-7b-${layers}-layers`);
const IMAGE = 32000;
const MEASURED = { forward: measureForward, generation: measureGeneration, sweep: measureSweep };

const gpu = await openGpu({
  adapter: options.adapter,
  subgroupMatrices: options['subgroup-matrices'],
});
const report = { machine: describeMachine(gpu), layers, dtype };
const log = (line) => console.log(line);
log(machineLine(report.machine));

const fileBytes = await writeLlavaCheckpoint(folder, layers);
log(`checkpoint of ${layers} of 32 layers: ${bytes(fileBytes)} in ${folder}`);
const { model, figures } = await measureLoad(gpu, nodeFolder(folder), { dtype, fileBytes, log });
report.load = figures;
const image = { data: randomValues(3 * 336 * 336, 3).map((value) => 4 * value), height: 336, width: 336 };
// <s> USER: <image>, the question, ASSISTANT:
const pair = textPair(
  image,
  (question) =>
    model.expand([1, 3148, 1001, 29901, 29871, IMAGE, 13, ...question, 319, 1799, 9047, 13566, 29901]).ids,
);
const settings = { repeat: Number(options.repeat), tokens: Number(options.tokens), log };
for (const part of options.parts.split(',').filter(Boolean))
  report[part] = await MEASURED[part](model, pair, settings);
if (options.json) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
model.destroy();
gpu.destroy();
