// What is measured of a model at real dimensions: loading, a forward pass, generation, and a sweep of heads at the last token
// under text corruption. Time stands beside what the counted operations take at the matmul rate of the same minutes.
import { readFileSync } from 'node:fs';
import { estimateForward } from '../dist/bench/index.js';
import { bytes, formatPlan } from '../dist/cli/plan.js';
import { loadModel } from '../dist/models/index.js';
import { planSweep, runWithHooks, sweep } from '../dist/patching/index.js';
import { kernelTimes } from './blocks.mjs';
import { besideMatmulRate, overIdeal, timeLine } from './matmul-rate.mjs';
import { stopwatch } from './measure.mjs';

/** Token ids of a question; in the corrupt prompt one of them is another. */
const QUESTION = Array.from({ length: 16 }, (_, i) => 1000 + 37 * i);
const CORRUPT = QUESTION.map((id, i) => (i === 8 ? 20000 : id));

/**
 * Loads a model and reports what that took.
 *
 * @param {{ dtype?: string, fileBytes: number, log: (line: string) => void }} options
 */
export async function measureLoad(gpu, source, { dtype, fileBytes, log }) {
  const before = hostMemory();
  const figures = {};
  const { wall, result: model } = await stopwatch(() =>
    loadModel(gpu, source, {
      dtype,
      onPlan: ({ bytes: all, largest }) => {
        figures.plan = { bytes: all, largest };
        log(`plan: ${bytes(all)} of weights, the largest buffer ${bytes(largest.bytes)}`);
      },
    }),
  );
  const { weightBytes } = model;
  // On a software adapter buffers are host memory, too, so they are taken off.
  const { software } = gpu.capabilities;
  const hostBytes = hostMemory().peak - before.now - (software ? weightBytes : 0);
  Object.assign(figures, { seconds: wall / 1000, weightBytes, hostBytes });
  log(
    `loaded${dtype ? ` as ${dtype}` : ''} in ${(wall / 1000).toFixed(1)} s (${bytes((1000 * fileBytes) / wall)}/s of file); ` +
      `host memory at its peak ${bytes(hostBytes)} beyond ${software ? 'the weights' : 'before'}`,
  );
  return { model, figures };
}

/**
 * A clean and a corrupt prompt about one image.
 *
 * @param {(question: readonly number[]) => number[]} prompt token ids with an image's features among them
 */
export function textPair(image, prompt) {
  const sample = (question) => ({ images: [image], ids: prompt(question) });
  return { clean: sample(QUESTION), corrupt: sample(CORRUPT) };
}

export async function measureForward(model, { clean }, { log }) {
  const { flops } = await estimateForward(model, clean);
  const forward = await besideMatmulRate(model.gpu, () => runWithHooks(model, [clean], {}));
  if (!forward.result[0].every(Number.isFinite)) throw new Error('the logits are not finite');
  const figures = { ...overIdeal(forward, flops), positions: clean.ids.length };
  log(`forward of ${clean.ids.length} positions: ${timeLine(figures)}`);
  return figures;
}

/** GPU time of a forward pass by kernel, where the device has timestamps. */
export async function measureKernels(model, { clean }, { log }) {
  return { kernels: await kernelTimes(model, clean, log) };
}

export async function measureGeneration(model, { clean }, { tokens, log }) {
  const stamps = [];
  const { wall, result } = await stopwatch(() =>
    model.generate([clean], { maxNewTokens: tokens, onToken: () => stamps.push(performance.now()) }),
  );
  const [{ ids }] = result;
  const steps = stamps.slice(1).map((stamp, i) => stamp - stamps[i]);
  log(
    `generation of ${ids.length} tokens: ${(wall / 1000).toFixed(1)} s with the prompt, then ` +
      `${steps.map((ms) => (ms / 1000).toFixed(2)).join(', ')} s a token (key-value cache)`,
  );
  return { seconds: wall / 1000, tokens: ids.length, stepMs: steps };
}

/**
 * Heads of the language model at the last token.
 *
 * @param {{ layers?: readonly number[], repeat: number, log: (line: string) => void }} options `layers`: default all
 */
export async function measureSweep(model, { clean, corrupt }, { layers, repeat, log }) {
  const { gpu } = model;
  const site = { site: 'language.attn.hook_z', heads: true, positions: [clean.ids.length - 1] };
  const job = { clean, corrupt, correct: 100, incorrect: 200, sites: [layers ? { ...site, layers } : site] };
  const plan = await planSweep(model, [job]);
  log(formatPlan(plan));
  const swept = await besideMatmulRate(gpu, () => {
    gpu.pool.trim();
    gpu.pool.resetPeak();
    return sweep(model, [job], { repeat });
  });
  const [{ sites, controls }] = swept.result;
  const effects = Array.from(sites[0].data).filter((_, i) => i % 4 === 2);
  const { cells, flops, oneByOneFlops } = plan;
  const { peakUsedBytes } = gpu.pool.statistics;
  const figures = { ...overIdeal(swept, flops), cells, oneByOneFlops, controls, peakUsedBytes };
  log(
    `sweep of ${cells} heads at the last token, with its self-checks: ${timeLine(figures)}; ` +
      `LD′ − LD* from ${Math.min(...effects).toExponential(1)} to ` +
      `${Math.max(...effects).toExponential(1)}, noise floor ${controls.noiseFloor.toExponential(1)}; ` +
      `peak ${bytes(peakUsedBytes)} of activations, budget ${bytes(gpu.pool.budget)}`,
  );
  return figures;
}

/** Resident memory of this process now and at its highest, in bytes. */
function hostMemory() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const kilobytes = (field) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)[1]);
  return { now: 1024 * kilobytes('VmRSS'), peak: 1024 * kilobytes('VmHWM') };
}
