// LLaVA-1.5 at 7B's dimensions with random weights: loading, a forward pass, generation, and a sweep of all heads at the
// last token under text corruption.
//
//   node bench/llava-7b.mjs [--layers 4] [--dtype f16|nf4|int8|…] [--folder DIR] [--parts forward,generation,sweep]
//                          [--repeat 0] [--json FILE]
//
// The checkpoint is written into DIR (default: the system's temporary folder) and stays there for the next run.
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { estimateForward } from '../dist/bench/index.js';
import { bytes, formatPlan } from '../dist/cli/plan.js';
import { loadModel } from '../dist/models/index.js';
import { planSweep, runWithHooks, sweep } from '../dist/patching/index.js';
import { openGpu } from '../dist/platform/node/adapter.js';
import { nodeFolder } from '../dist/platform/node/files.js';
import { writeLlavaCheckpoint } from './llava-checkpoint.mjs';
import { describeMachine, machineLine } from './machine.mjs';
import { randomValues, stopwatch } from './measure.mjs';

const { values: options } = parseArgs({
  options: {
    layers: { type: 'string', default: '4' },
    dtype: { type: 'string', default: 'f16' },
    folder: { type: 'string' },
    tokens: { type: 'string', default: '4' },
    parts: { type: 'string', default: 'forward,generation,sweep' },
    repeat: { type: 'string', default: '0' },
    json: { type: 'string' },
  },
});
const layers = Number(options.layers);
const folder = options.folder ?? join(tmpdir(), `llava-7b-${layers}-layers`);
const IMAGE = 32000;

const gpu = await openGpu();
const report = { machine: describeMachine(gpu), layers, dtype: options.dtype };
const log = (line) => console.log(line);
log(machineLine(report.machine));

const written = await stopwatch(() => writeLlavaCheckpoint(folder, layers));
log(`checkpoint of ${layers} of 32 layers: ${bytes(written.result)} in ${folder}`);

const before = hostMemory();
const loaded = await stopwatch(() =>
  loadModel(gpu, nodeFolder(folder), {
    dtype: options.dtype,
    onPlan: (plan) => {
      report.plan = { bytes: plan.bytes, largest: plan.largest };
      log(`plan: ${bytes(plan.bytes)} of weights, the largest buffer ${bytes(plan.largest.bytes)}`);
    },
  }),
);
const model = loaded.result;
report.load = {
  seconds: loaded.wall / 1000,
  weightBytes: model.weightBytes,
  // On a software adapter buffers are host memory, too, so they are taken off.
  hostBytes: hostMemory().peak - before.now - (gpu.capabilities.software ? model.weightBytes : 0),
};
log(
  `loaded as ${options.dtype} in ${report.load.seconds.toFixed(1)} s (${bytes((1000 * written.result) / loaded.wall)}/s of file); ` +
    `host memory at its peak ${bytes(report.load.hostBytes)} beyond ${gpu.capabilities.software ? 'the weights' : 'before'}`,
);
const parts = { forward: forwardPart, generation: generationPart, sweep: sweepPart };
for (const part of options.parts.split(',').filter(Boolean)) await parts[part](samplePair());
if (options.json) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
model.destroy();
gpu.destroy();

/** A clean and a corrupt prompt of one image: <s> USER: <image>, a question of 16 tokens, ASSISTANT: */
function samplePair() {
  const image = { data: randomValues(3 * 336 * 336, 3).map((value) => 4 * value), height: 336, width: 336 };
  const question = Array.from({ length: 16 }, (_, i) => 1000 + 37 * i);
  const prompt = (words) => ({
    images: [image],
    ids: model.expand([1, 3148, 1001, 29901, 29871, IMAGE, 13, ...words, 319, 1799, 9047, 13566, 29901]).ids,
  });
  return { clean: prompt(question), corrupt: prompt(question.map((id, i) => (i === 8 ? 20000 : id))) };
}

async function forwardPart({ clean }) {
  const work = await estimateForward(model, clean);
  const forward = await stopwatch(() => runWithHooks(model, [clean], {}));
  const [logits] = forward.result;
  if (!logits.every(Number.isFinite)) throw new Error('the logits are not finite');
  report.forward = { seconds: forward.wall / 1000, positions: clean.ids.length, flops: work.flops };
  log(
    `forward of ${clean.ids.length} positions: ${report.forward.seconds.toFixed(1)} s, ` +
      `${(work.flops / 1e12).toPrecision(3)} TFLOP, ${(work.flops / forward.wall / 1e6).toPrecision(3)} GFLOP/s`,
  );
}

async function generationPart({ clean }) {
  const stamps = [];
  const generated = await stopwatch(() =>
    model.generate([clean], {
      maxNewTokens: Number(options.tokens),
      onToken: () => stamps.push(performance.now()),
    }),
  );
  const [{ ids }] = generated.result;
  const steps = stamps.slice(1).map((stamp, i) => stamp - stamps[i]);
  report.generation = { seconds: generated.wall / 1000, tokens: ids.length, stepMs: steps };
  log(
    `generation of ${ids.length} tokens: ${report.generation.seconds.toFixed(1)} s with the prompt, then ` +
      `${steps.map((ms) => (ms / 1000).toFixed(2)).join(', ')} s a token (key-value cache)`,
  );
}

async function sweepPart({ clean, corrupt }) {
  const last = clean.ids.length - 1;
  const sites = [{ site: 'language.attn.hook_z', heads: true, positions: [last] }];
  const job = { clean, corrupt, correct: 100, incorrect: 200, sites };
  const plan = await planSweep(model, [job]);
  log(formatPlan(plan));
  const swept = await stopwatch(() => sweep(model, [job], { repeat: Number(options.repeat) }));
  const [{ sites: found, controls }] = swept.result;
  const effects = Array.from(found[0].data).filter((_, i) => i % 4 === 2);
  const { cells, flops, oneByOneFlops } = plan;
  const { peakUsedBytes } = gpu.pool.statistics;
  report.sweep = { seconds: swept.wall / 1000, cells, flops, oneByOneFlops, controls, peakUsedBytes };
  log(
    `sweep of ${cells} heads at the last token: ${report.sweep.seconds.toFixed(1)} s with its self-checks ` +
      `(${(flops / swept.wall / 1e6).toPrecision(3)} GFLOP/s), LD′ − LD* from ${Math.min(...effects).toExponential(1)} to ` +
      `${Math.max(...effects).toExponential(1)}, noise floor ${controls.noiseFloor.toExponential(1)}; ` +
      `peak ${bytes(peakUsedBytes)} of activations, budget ${bytes(gpu.pool.budget)}`,
  );
}

/** Resident memory of this process now and at its highest, in bytes. */
function hostMemory() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const kilobytes = (field) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)[1]);
  return { now: 1024 * kilobytes('VmRSS'), peak: 1024 * kilobytes('VmHWM') };
}
