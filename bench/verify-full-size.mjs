// Full-size BLIP-VQA-base against Hugging Face: every stored activation, the logits, and the 90 patched cells.
//
//   node bench/verify-full-size.mjs [--mode wavefront|one-by-one|shared] [--cells N]
//
// `one-by-one` computes everything anew for every cell, about a minute each on a software adapter; `shared` does so but for
// the image features.
//
// Tolerances are those of the fixture: activations and logits 1e-4 of a tensor's largest value, LD' − LD* within 5e-5
// of the float64 reference, probabilities within 1e-4 of their column's largest.
import { parseArgs } from 'node:util';
import { loadModel } from '../dist/models/index.js';
import { runWithCache, sweep } from '../dist/patching/index.js';
import { openGpu } from '../dist/platform/node/adapter.js';
import { formulaModel, formulaSamples, golden, goldenTensors } from './formula-model.mjs';
import { oneCell, sharedFeatures } from './one-by-one.mjs';

const { values: options } = parseArgs({
  options: { mode: { type: 'string', default: 'wavefront' }, cells: { type: 'string', default: '45' } },
});
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;
const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

const gpu = await openGpu();
let started = performance.now();
const model = await loadModel(gpu, await formulaModel());
console.log(
  `${gpu.capabilities.description}: loaded ${(model.weightBytes / 2 ** 30).toFixed(2)} GiB in ${seconds(started)}`,
);
const tensors = await goldenTensors();
const samples = formulaSamples();
let failures = 0;

function compare(name, found, expected, tolerance) {
  let worst = 0;
  if (found.length !== expected.length)
    throw new Error(`${name}: ${found.length} values, expected ${expected.length}`);
  for (let i = 0; i < expected.length; i++) worst = Math.max(worst, Math.abs(found[i] - expected[i]));
  const ok = worst <= tolerance;
  if (!ok) failures++;
  return { worst, ok };
}

for (const run of ['clean', 'corrupt_image', 'corrupt_text']) {
  started = performance.now();
  const names = [...tensors.keys()]
    .filter((name) => name.startsWith(`${run}/`))
    .map((name) => name.slice(run.length + 1))
    .filter((name) => name !== 'logits');
  const { logits, cache } = await runWithCache(model, [samples[run]], { names });
  let ratio = 0;
  const expectedLogits = tensors.get(`${run}/logits`).data;
  const bound = 1e-4 * largest(expectedLogits);
  ratio = compare('logits', logits[0], expectedLogits, bound).worst / bound;
  for (const name of names) {
    const expected = tensors.get(`${run}/${name}`);
    let found = await cache.read(name);
    if (name.startsWith('vision.')) {
      // Vision activations are stored at every 8th position.
      const [, positions, ...rest] = cache.get(name).shape;
      const width = rest.reduce((product, size) => product * size, 1);
      found = Float32Array.from(
        Array.from({ length: Math.ceil(positions / 8) }, (_, i) => [
          ...found.subarray(8 * i * width, (8 * i + 1) * width),
        ]).flat(),
      );
    }
    const tolerance = 1e-4 * largest(expected.data);
    const { worst, ok } = compare(name, found, expected.data, tolerance);
    ratio = Math.max(ratio, worst / tolerance);
    if (!ok) console.log(`  ${run} ${name}: ${worst} > ${tolerance}`);
  }
  cache.release();
  console.log(
    `${run}: ${names.length} activations and the logits, worst ${(100 * ratio).toFixed(0)} % of the tolerance, ${seconds(started)}`,
  );
}

const goldenCells = golden['patch cells'];
const cells = goldenCells.slice(0, Number(options.cells));
for (const run of ['corrupt_image', 'corrupt_text']) {
  started = performance.now();
  const sites = cells.map(({ site, layer, position, head }) => ({
    site,
    layers: [layer],
    positions: [position],
    ...(head === null ? {} : { heads: true }),
  }));
  const job = {
    clean: samples.clean,
    corrupt: samples[run],
    correct: golden.correct_token,
    incorrect: golden.incorrect_token,
    sites,
  };
  const found = await { wavefront: allCells, 'one-by-one': eachAnew, shared: eachOnShared }[options.mode](
    job,
  );
  const f64 = tensors.get(`patch_f64/${run}`).data;
  const column = (rows, c) => rows.map((row) => row[c]);
  const expected = goldenCells.map((_, i) => [...f64.subarray(4 * i, 4 * i + 4)].map(Number));
  const report = [0, 1, 2].map((c) => {
    const want = column(expected, c);
    const tolerance = c === 2 ? 5e-5 : 1e-4 * largest(want);
    const name = `patch column ${c}`;
    return { tolerance, ...compare(name, column(found, c), want.slice(0, cells.length), tolerance) };
  });
  const shown = report
    .map(({ worst, tolerance }) => `${worst.toExponential(1)} of ${tolerance.toExponential(1)}`)
    .join(', ');
  console.log(
    `${run}: ${cells.length} patched cells, ${options.mode}: errors of P', P' − P*, LD' − LD* ${shown}, ${seconds(started)}`,
  );
}
async function allCells(job) {
  const [result] = await sweep(model, [job], { repeat: 0 });
  return result.sites.map(({ data }, i) =>
    data.subarray(4 * (cells[i].head ?? 0), 4 * (cells[i].head ?? 0) + 4),
  );
}

/** A sweep patches all heads of a layer, so one head alone has its passes made here. */
async function eachAnew(job) {
  const found = [];
  for (const [i, cell] of cells.entries()) {
    found.push(cell.head === null ? await libraryCell(job, i) : await eachCell(job, cell));
    console.log(`  cell ${i + 1} of ${cells.length}, ${seconds(started)}: ${[...found.at(-1)].join(', ')}`);
  }
  return found;
}

async function libraryCell(job, i) {
  const one = { ...job, sites: [job.sites[i]] };
  const [result] = await sweep(model, [one], { mode: 'one-by-one', repeat: 0 });
  return result.sites[0].data;
}

function eachCell(job, { site, layer, position, head }, features) {
  return oneCell(model, job, { site, layer, position, head: head ?? undefined }, features);
}

async function eachOnShared(job) {
  const features = await sharedFeatures(model, job);
  const found = [];
  for (const cell of cells) found.push(await eachCell(job, cell, features));
  model.gpu.release(...features.tensors);
  return found;
}

const { peakUsedBytes } = gpu.pool.statistics;
console.log(`peak GPU memory of activations ${(peakUsedBytes / 2 ** 20).toFixed(0)} MiB`);
console.log(failures === 0 ? 'all within tolerance' : `${failures} comparisons failed`);
process.exitCode = failures === 0 ? 0 : 1;
gpu.destroy();
