// How far estimates are from exact effects: attribution patching beside sweeps, on the embedded models and pairs of their data.
//
//   node bench/estimates.mjs [--pairs 4] [--integrated 8] [--models blip-shapes,llava-shapes,smolvlm-shapes]
//
// Spearman's rank correlation is of sizes, |estimate| and |LD′ − LD*|, over all cells of a site, and its mean over the pairs of scenes
// under both corruptions; recall is the share of the tenth of cells with the largest effects that is among the tenth
// with the largest estimates. The cell that is furthest off stands beside them.
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { spearman } from '../dist/analysis/statistics.js';
import { answerTokenIds } from '../dist/inputs/index.js';
import { loadModel, Processor } from '../dist/models/index.js';
import { readManifest } from '../dist/notice/datasets/index.js';
import { attributionPatching, sweep } from '../dist/patching/index.js';
import { nodeFolder, openGpu, readImage } from '../dist/platform/node/index.js';

const { values: options } = parseArgs({
  options: {
    pairs: { type: 'string', default: '4' },
    integrated: { type: 'string', default: '8' },
    models: { type: 'string', default: 'blip-shapes,llava-shapes,smolvlm-shapes' },
  },
});
const root = fileURLToPath(new URL('..', import.meta.url));
const { pairs } = await readManifest(`${root}data/scenes.csv`);
const manifest = pairs.slice(0, Number(options.pairs));
const gpu = await openGpu();
console.log('| model | site | cells | ρ | recall | ρ, integrated | recall | furthest off |');
console.log('| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |');
for (const name of options.models.split(',')) {
  const folder = nodeFolder(`${root}weights/${name}`);
  const model = await loadModel(gpu, folder);
  const processor = await Processor.load(model, folder);
  const jobs = (await Promise.all(manifest.map((pair) => pairsOf(processor, pair)))).flat();
  await estimateCells(model, name, jobs);
  model.destroy();
}
gpu.destroy();

/** A pair under image and under text corruption. */
async function pairsOf(
  processor,
  { cleanImage, corruptImage, cleanPrompt, corruptPrompt, correct, incorrect },
) {
  const [seen, other] = await Promise.all(
    [cleanImage, corruptImage].map((file) => readImage(resolve(root, 'data', file))),
  );
  const clean = processor.sample(seen, cleanPrompt);
  const words = answerTokenIds(
    processor.tokenizer,
    { correct, incorrect },
    { after: processor.answerContext },
  );
  const pair = { clean, correct: words[0], incorrect: words[1] };
  return [
    { ...pair, corrupt: processor.sample(other, cleanPrompt) },
    { ...pair, corrupt: { ...processor.sample(seen, corruptPrompt), images: clean.images } },
  ];
}

async function estimateCells(model, name, jobs) {
  const prompt = model.promptTower;
  const sites = [
    ...['attn.hook_q', 'attn.hook_k', 'attn.hook_v', 'attn.hook_z'].map((hook) => ({
      site: `${prompt}.${hook}`,
      heads: true,
    })),
    { site: `${prompt}.hook_mlp_out` },
    { site: `${prompt}.hook_resid_pre` },
    ...(model.imageAttention.endsWith('cross_attn')
      ? ['q', 'z'].map((part) => ({ site: `${model.imageAttention}.hook_${part}`, heads: true }))
      : []),
  ];
  for (const site of sites) {
    const given = jobs.map((job) => ({ ...job, sites: [site] }));
    const exact = await sweep(model, given, { repeat: 0 });
    const plain = await attributionPatching(model, given);
    const averaged = await attributionPatching(model, given, { integrated: Number(options.integrated) });
    const effects = exact.map(({ sites: [found] }) => numbers(found, 4, 2));
    const of = (results) => results.map(({ sites: [found] }) => numbers(found, found.shape.at(-1), 1));
    print(name, site.site, effects, of(plain), of(averaged), (job, i) => place(exact[job].sites[0], i));
  }
}

function numbers({ data }, width, which) {
  return Array.from({ length: data.length / width }, (_, i) => data[width * i + which]);
}

function place({ layers, heads, positions }, i) {
  const position = positions[i % positions.length].join('+');
  const row = Math.floor(i / positions.length);
  const head = heads === undefined ? '' : `, head ${row % heads}`;
  return `block ${layers[Math.floor(row / (heads ?? 1))]}${head}, position ${position}`;
}

function print(model, site, effects, plain, averaged, placeOf) {
  let worst = { error: -1 };
  effects.forEach((own, job) => {
    own.forEach((effect, i) => {
      const error = Math.abs(plain[job][i] - effect);
      if (error > worst.error) worst = { error, effect, estimate: plain[job][i], place: placeOf(job, i) };
    });
  });
  const columns = [plain, averaged].flatMap((estimates) => [
    mean(effects.map((own, job) => spearman(own.map(Math.abs), estimates[job].map(Math.abs)))),
    mean(effects.map((own, job) => recall(own.map(Math.abs), estimates[job].map(Math.abs)))),
  ]);
  const { effect, estimate } = worst;
  console.log(
    `| ${model} | ${site} | ${effects[0].length} | ${columns.map((x) => x.toFixed(2)).join(' | ')} | ` +
      `${worst.place}: ${estimate.toFixed(2)}, exact ${effect.toFixed(2)} |`,
  );
}

function mean(values) {
  const known = values.filter((value) => value !== undefined);
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** Of the largest tenth. */
function recall(effects, estimates) {
  const count = Math.max(1, Math.round(effects.length / 10));
  const top = (list) => new Set([...list.keys()].sort((a, b) => list[b] - list[a]).slice(0, count));
  const [a, b] = [top(effects), top(estimates)];
  return [...a].filter((i) => b.has(i)).length / count;
}
