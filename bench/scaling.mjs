// How long the paper's LLaVA experiment takes on 1 to 64 tasks, simulated: its samples' costs by the plan of a model of LLaVA-1.5-7B's
// dimensions, their spread around the plan as measured on this adapter with the embedded model, shards as `notice merge`
// has them, and preemptions.
//
//   node bench/scaling.mjs [--rate 20000] [--per-hour 0.2] [--folder DIR] [--png FILE] [--json FILE]
//
// DIR (default: in the system's temporary folder) keeps the headers of the checkpoint and the plan, which takes minutes.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadModel, withPlannedModel } from '../dist/models/index.js';
import { dealParts } from '../dist/notice/experiment/shards.js';
import { pairOperations, paperSweeps } from '../dist/notice/paper-sweeps.js';
import { renderPng } from '../dist/notice/plots/png.js';
import { sweep, sweepOperations } from '../dist/patching/index.js';
import { openGpu } from '../dist/platform/node/adapter.js';
import { nodeFolder } from '../dist/platform/node/files.js';
import { seeded } from '../dist/random.js';
import { writeLlavaCheckpoint } from './llava-checkpoint.mjs';
import { describeMachine, machineLine } from './machine.mjs';
import { median } from './measure.mjs';
import { lineChart } from './scaling-chart.mjs';

const { values: options } = parseArgs({
  options: {
    rate: { type: 'string', default: '20000' },
    'per-hour': { type: 'string', default: '0.2' },
    folder: { type: 'string', default: join(tmpdir(), 'llava-7b-headers') },
    png: { type: 'string' },
    json: { type: 'string' },
  },
});
/** GFLOP/s of the GPU: a guess, and all hours are in proportion to it. */
const rate = 1e9 * Number(options.rate);
/** Preemptions of a task without warning. */
const perHour = Number(options['per-hour']);
const TASKS = [1, 2, 4, 8, 16, 32, 64];
const DRAWS = 200;
/** Seconds until a preempted task begins again, and until a task that begins has its model. */
const [REQUEUE, START] = [150, 90];
/** Manifests of 500 samples, and how many tokens their questions have in LLaVA's tokenizer, about. */
const MANIFESTS = [
  { name: 'svo-probes', tokens: [12, 24] },
  { name: 'mit-states', tokens: [10, 18] },
  { name: 'fer', tokens: [10, 12] },
];
const PLANNED_TOKENS = [8, 16, 24];

const gpu = await openGpu();
const random = seeded('scaling').next;
const between = (low, high) => low + (high - low) * random();

const plans = await plannedCosts();
const spread = await measuredSpread();
const experiment = samples();
const alone = experiment.reduce((sum, { operations }) => sum + operations, 0) / rate / 3600;
const ways = {
  'by cost': (count) => dealParts(experiment, count),
  'by count, every n-th': (count) => deal(count, (i) => i % count),
  'by count, one after another': (count) => deal(count, (i) => Math.floor((i * count) / experiment.length)),
};
const results = Object.entries(ways).flatMap(([way, cut]) =>
  [0, perHour].map((preemptions) => ({
    name: preemptions ? `${way}, preempted` : way,
    hours: TASKS.map((count) => median(draws(cut(count), preemptions))),
  })),
);
report();
gpu.destroy();

/** Operations of a sample with a question of so many tokens: sip and str, and three draws of noise. */
async function plannedCosts() {
  const file = join(options.folder, 'operations.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'));
  await writeLlavaCheckpoint(options.folder, 32, { sparse: true });
  const costs = await withPlannedModel(gpu, nodeFolder(options.folder), {}, async (model) => {
    const found = [];
    for (const tokens of PLANNED_TOKENS) {
      const [image, text] = [
        await pairOperations(model, ['sip'], 1, tokens),
        await pairOperations(model, ['str'], 1, tokens),
      ];
      found.push({ tokens, operations: 4 * image + text });
    }
    return found;
  });
  writeFileSync(file, JSON.stringify(costs));
  return costs;
}

/** Between planned lengths, on a straight line. */
function operationsOf(tokens) {
  const at = Math.max(
    1,
    plans.findIndex((plan) => plan.tokens >= tokens),
  );
  const [a, b] = [plans[at - 1], plans[at]];
  return a.operations + ((b.operations - a.operations) * (tokens - a.tokens)) / (b.tokens - a.tokens);
}

/** Seconds over operations of single samples of the embedded model, in proportion to their median. */
async function measuredSpread() {
  const model = await loadModel(gpu, nodeFolder(join(import.meta.dirname, '../weights/blip-shapes')));
  const ratios = [];
  for (let i = -4; i < 60; i++) {
    const jobs = paperSweeps(model, Math.round(between(8, 20))).find(
      ({ part }) => part === 'all together',
    ).jobs;
    const operations = await sweepOperations(model, jobs);
    const start = performance.now();
    await sweep(model, jobs);
    // The first ones compile.
    if (i >= 0) ratios.push((performance.now() - start) / operations);
  }
  model.destroy();
  const middle = median(ratios);
  return ratios.map((ratio) => ratio / middle);
}

function samples() {
  return MANIFESTS.flatMap(({ tokens: [low, high] }) =>
    Array.from({ length: 500 }, () => ({ operations: operationsOf(Math.round(between(low, high))) })),
  );
}

/** @param {(sample: number) => number} shardOf */
function deal(count, shardOf) {
  return Array.from({ length: count }, (_, shard) => experiment.filter((_, i) => shardOf(i) === shard));
}

/** Hours until the last task is done, in each of the draws. */
function draws(shards, preemptionsPerHour) {
  return Array.from({ length: DRAWS }, () =>
    Math.max(...shards.map((shard) => taskSeconds(shard, preemptionsPerHour))),
  ).map((seconds) => seconds / 3600);
}

/** A preemption loses the sample in flight, and the time until the task is there again. */
function taskSeconds(shard, preemptionsPerHour) {
  const pick = () => spread[Math.floor(random() * spread.length)];
  const next = () => (preemptionsPerHour ? (-Math.log(1 - random()) * 3600) / preemptionsPerHour : Infinity);
  let [clock, lost] = [START, next()];
  for (const { operations } of shard) {
    const seconds = (operations / rate) * pick();
    while (clock + seconds > lost) {
      clock = lost + REQUEUE + START;
      lost = clock + next();
    }
    clock += seconds;
  }
  return clock;
}

function report() {
  const machine = describeMachine(gpu);
  console.log(machineLine(machine));
  for (const { tokens, operations } of plans)
    console.log(`${tokens} tokens: ${(operations / 1e12).toFixed(0)} TFLOP a sample`);
  const sorted = spread.toSorted((a, b) => a - b);
  console.log(
    `seconds over the plan, 60 samples: ${sorted[3].toFixed(2)} to ${sorted.at(-4).toFixed(2)} of the median (5 to 95 %)`,
  );
  console.log(`${experiment.length} samples, ${alone.toFixed(1)} h at ${options.rate} GFLOP/s\n`);
  console.log(['tasks', ...TASKS].join('\t'));
  console.log(['ideal', ...TASKS.map((count) => (alone / count).toFixed(2))].join('\t'));
  for (const { name, hours } of results)
    console.log([name, ...hours.map((value) => value.toFixed(2))].join('\t'));
  if (options.json)
    writeFileSync(
      options.json,
      `${JSON.stringify({ machine, rate, perHour, plans, alone, results }, null, 2)}\n`,
    );
  if (!options.png) return;
  const chart = lineChart({
    title: "The paper's LLaVA experiment on many tasks, simulated",
    label: 'share of the ideal: hours of one task / tasks / hours until the last is done',
    x: TASKS,
    series: results.map(({ name, hours }) => ({
      name,
      values: hours.map((value, i) => alone / TASKS[i] / value),
    })),
    caption: `1500 samples, ${alone.toFixed(1)} h at an assumed ${options.rate} GFLOP/s; preempted: ${perHour} times a task and hour`,
  });
  writeFileSync(options.png, renderPng(chart, 1.5));
}
