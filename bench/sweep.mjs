// The standard load of a sweep on full-size BLIP-VQA-base: {self-attention z, cross-attention z, MLP} × 12 layers × all
// tokens and the 144 cross-attention heads at the answer token, both modalities of one pair. In one wavefront, and a
// sample of its cells one by one, scaled up.
import { planSweep, sweep } from '../dist/patching/index.js';
import { formulaSamples, golden } from './formula-model.mjs';
import { besideMatmulRate } from './matmul-rate.mjs';
import { median, stopwatch } from './measure.mjs';
import { oneCell, sharedFeatures } from './one-by-one.mjs';

/** The question's token that the answer turns on. */
const ANSWER_POSITION = 5;
const HEADS_SITE = 'text_encoder.cross_attn.hook_z';
const SITES = [
  { site: 'text_encoder.attn.hook_z' },
  { site: HEADS_SITE },
  { site: 'text_encoder.hook_mlp_out' },
  { site: HEADS_SITE, heads: true, positions: [ANSWER_POSITION] },
];

/** One pair in both modalities: its image is exchanged in one job, its words in the other. */
export function standardLoad() {
  const samples = formulaSamples();
  const answers = { correct: golden.correct_token, incorrect: golden.incorrect_token };
  return ['corrupt_image', 'corrupt_text'].map((name) => ({
    clean: samples.clean,
    corrupt: samples[name],
    ...answers,
    sites: SITES,
  }));
}

/**
 * @param {{ sample: number, formatPlan: (plan: object) => string, log: (line: string) => void }} options `sample`: cells that are
 *   repeated one by one
 */
export async function benchSweep(model, { sample, formatPlan, log }) {
  const { gpu } = model;
  const jobs = standardLoad();
  const plan = await planSweep(model, jobs);
  log(formatPlan(plan));
  await warmUp(model, jobs);

  const wavefront = await besideMatmulRate(gpu, () => {
    gpu.pool.trim();
    gpu.pool.resetPeak();
    return sweep(model, jobs, { repeat: 0 });
  });
  const { peakUsedBytes, peakAllocatedBytes } = gpu.pool.statistics;
  const { seconds, cpuSeconds, before, after, rate } = wavefront;
  const ideal = plan.flops / rate;
  log(
    `wavefront: ${plan.cells} patches in ${seconds.toFixed(1)} s (${cpuSeconds.toFixed(1)} s of processor time), ${(seconds / ideal).toFixed(2)} times what ${(plan.flops / 1e9).toFixed(0)} GFLOP take at ` +
      `${(rate / 1e9).toPrecision(3)} GFLOP/s (matmul 577 × 768 × 768 before ${(before / 1e9).toPrecision(3)}, after ${(after / 1e9).toPrecision(3)}); ` +
      `peak ${mebibytes(peakUsedBytes)} in use, ${mebibytes(peakAllocatedBytes)} allocated, budget ${mebibytes(gpu.pool.budget)}`,
  );

  const result = {
    name: 'sweep of full-size BLIP-VQA-base',
    cells: plan.cells,
    plan: { ...plan, layers: undefined },
    seconds,
    cpuSeconds,
    matmulFlops: rate,
    overIdeal: seconds / ideal,
    peakUsedBytes,
    peakAllocatedBytes,
    budgetBytes: gpu.pool.budget,
  };
  if (sample === 0) return result;

  const full = [];
  const shared = [];
  const cells = sampleCells(jobs, wavefront.result, sample);
  for (const { job, cell, expected } of cells) {
    const sites = [{ site: cell.site, layers: [cell.layer], positions: [cell.position] }];
    const one = await stopwatch(() => sweep(model, [{ ...job, sites }], { mode: 'one-by-one' }));
    full.push(one.wall / 1000);
    compare(one.result[0].sites[0].data[2], expected, cell);
    const features = await sharedFeatures(model, job);
    const again = await stopwatch(() => oneCell(model, job, cell, features));
    model.gpu.release(...features.tensors);
    shared.push(again.wall / 1000);
    compare(again.result[2], expected, cell);
  }
  const [oneByOneSeconds, oneByOneSharedSeconds] = [full, shared].map((times) => plan.cells * median(times));
  log(
    `one by one (${cells.length} cells sampled, the same bits): ${median(full).toFixed(1)} s a cell, ${(oneByOneSeconds / 3600).toFixed(1)} h in all, ` +
      `${(oneByOneSeconds / seconds).toFixed(0)} times as long; on shared image features ${median(shared).toFixed(2)} s a cell, ` +
      `${(oneByOneSharedSeconds / 60).toFixed(1)} min, ${(oneByOneSharedSeconds / seconds).toFixed(1)} times`,
  );
  return { ...result, oneByOneSeconds, oneByOneSharedSeconds, sampled: cells.length };
}

/** Compiles the kernels on few cells. */
async function warmUp(model, jobs) {
  const sites = SITES.map((site) => ({ ...site, layers: [10], positions: [ANSWER_POSITION] }));
  await sweep(
    model,
    jobs.map((job) => ({ ...job, sites })),
    { repeat: 0 },
  );
}

/** Cells spread over jobs, sites, layers and tokens, with the LD' − LD* that the sweep found. */
function sampleCells(jobs, results, count) {
  return Array.from({ length: count }, (_, i) => {
    const pick = (1 + i) * 0.6180339887;
    const which = i % jobs.length;
    const { sites } = results[which];
    const index = Math.floor((pick % 1) * 3); // the sites of whole modules
    const { layers, positions, data } = sites[index];
    const layer = Math.floor(((7 * pick) % 1) * layers.length);
    const position = Math.floor(((13 * pick) % 1) * positions.length);
    return {
      job: jobs[which],
      cell: { site: SITES[index].site, layer, position },
      expected: data[4 * (layer * positions.length + position) + 2],
    };
  });
}

function compare(found, expected, { site, layer, position }) {
  if (Object.is(found, expected)) return;
  throw new Error(
    `${site}, layer ${layer}, token ${position}: ${found} one by one, ${expected} in the sweep`,
  );
}

const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
