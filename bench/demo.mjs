// What the wavefront saves in `npm run demo`: the sweeps of its first pairs, in one walk and one patch after another.
//
//   node bench/demo.mjs [--pairs 3]

import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadModel, Processor } from '../dist/models/index.js';
import { readManifest } from '../dist/notice/datasets/index.js';
import { preparePair } from '../dist/notice/experiment/prepare.js';
import { defaultSites } from '../dist/notice/experiment/settings.js';
import { sweep } from '../dist/patching/index.js';
import { openGpu } from '../dist/platform/node/adapter.js';
import { nodeFolder } from '../dist/platform/node/files.js';
import { nodeImages } from '../dist/platform/node/images.js';
import { stopwatch } from './measure.mjs';

const { values: options } = parseArgs({ options: { pairs: { type: 'string', default: '3' } } });
const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

const gpu = await openGpu();
const source = nodeFolder(path('weights/blip-shapes'));
const model = await loadModel(gpu, source);
const processor = await Processor.load(model, source);
const { pairs } = await readManifest(path('data/scenes.csv'));
const { moduleSites, headSite } = defaultSites(model);
const jobs = [];
for (const pair of pairs.slice(0, Number(options.pairs))) {
  const prepared = await preparePair(model, processor, pair, {
    answer: pair.correct,
    compat: [],
    reader: nodeImages,
  });
  const { clean, corruptImage, text, correct, incorrect, answerPositions } = prepared;
  const positions = prepared.tokens.map(({ position }) => position);
  const sites = [
    ...moduleSites.map((site) => ({ site, positions })),
    { site: headSite, heads: true, positions: [answerPositions] },
  ];
  for (const corrupt of [corruptImage, text?.corrupt])
    if (corrupt) jobs.push({ clean, corrupt, correct, incorrect, sites });
}
await sweep(model, jobs, { repeat: 0 }); // compiles
const wavefront = await stopwatch(() => sweep(model, jobs, { repeat: 0 }));
const oneByOne = await stopwatch(() => sweep(model, jobs, { mode: 'one-by-one' }));
for (const [job, { sites }] of wavefront.result.entries()) {
  for (const [site, { data }] of sites.entries()) {
    const other = oneByOne.result[job].sites[site].data;
    if (!data.every((value, i) => Object.is(value, other[i]))) throw new Error('the two modes differ');
  }
}
const cells = wavefront.result
  .flatMap(({ sites }) => sites)
  .reduce((sum, { data }) => sum + data.length / 4, 0);
console.log(
  `${gpu.capabilities.description}: ${jobs.length} sweeps of ${cells} patches: ${(wavefront.wall / 1000).toFixed(2)} s in one walk, ` +
    `${(oneByOne.wall / 1000).toFixed(1)} s one by one, ${(oneByOne.wall / wavefront.wall).toFixed(0)} times as long, with the same bits`,
);
gpu.destroy();
