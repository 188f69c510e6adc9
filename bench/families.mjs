// SmolVLM, Qwen2.5-VL and PaliGemma at their real dimensions with random weights: loading, a forward pass, and a sweep of heads
// at the last token under text corruption, each beside what its operations take at the matmul rate of the same minutes.
//
//   node bench/families.mjs smolvlm-256m|smolvlm-500m|qwen2.5-vl-3b|paligemma-3b [--layers 4|all] [--longest-edge 512]
//                           [--picture 640x480] [--dtype f16|…] [--parts forward,kernels,generation,sweep] [--patched 2,3]
//                           [--repeat 0] [--json FILE]
//   node bench/families.mjs MODEL --headers DIR
//
// Weights are computed when they are read; nothing is written to disk. `--longest-edge` is that of SmolVLM's processor, in
// place of the hub's 2048: how many tiles of 512 pixels a picture is cut into. `--headers` writes the folder of a model
// whose checkpoint has a header and a size, but no values (a sparse file): enough for `notice plan`.
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bytes } from '../dist/cli/plan.js';
import { ImageProcessor } from '../dist/inputs/index.js';
import { openGpu } from '../dist/platform/node/adapter.js';
import { memorySource } from '../dist/weights/index.js';
import { FAMILY_MODELS } from './family-models.mjs';
import { generatedFile, safetensorsHead } from './generated-file.mjs';
import {
  measureForward,
  measureGeneration,
  measureKernels,
  measureLoad,
  measureSweep,
  textPair,
} from './large-model.mjs';
import { describeMachine, machineLine } from './machine.mjs';
import { randomValues } from './measure.mjs';
import { randomWeights } from './random-weights.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    layers: { type: 'string' },
    'longest-edge': { type: 'string' },
    picture: { type: 'string', default: '640x480' },
    dtype: { type: 'string' },
    tokens: { type: 'string', default: '4' },
    parts: { type: 'string', default: 'forward,sweep' },
    patched: { type: 'string' },
    repeat: { type: 'string', default: '0' },
    headers: { type: 'string' },
    json: { type: 'string' },
  },
});
const MEASURED = {
  forward: measureForward,
  kernels: measureKernels,
  generation: measureGeneration,
  sweep: measureSweep,
};
const [name] = positionals;
const family = FAMILY_MODELS[name];
if (!family) throw new Error(`which model? ${Object.keys(FAMILY_MODELS).join(', ')}`);
const { layers: usual = 'all' } = family;
const layers = options.layers ?? usual;
const config = family.config(layers === 'all' ? Number.POSITIVE_INFINITY : Number(layers));
const edge = options['longest-edge'];
const preprocessor = {
  ...family.preprocessor,
  ...(edge ? { size: { longest_edge: Number(edge) } } : {}),
};
const tensors = Array.from(family.tensors(config), ([name, shape], place) => ({
  ...{ name, dtype: 'BF16', shape, place },
}));
await (options.headers ? writeHeaders(options.headers) : measure());

async function writeHeaders(folder) {
  mkdirSync(folder, { recursive: true });
  for (const [file, json] of Object.entries({ config, preprocessor_config: preprocessor }))
    writeFileSync(join(folder, `${file}.json`), JSON.stringify(json, null, 1));
  const checkpoint = join(folder, 'model.safetensors');
  const { head, size } = await safetensorsHead(tensors);
  writeFileSync(checkpoint, head);
  truncateSync(checkpoint, size);
}

async function measure() {
  const gpu = await openGpu();
  const report = { machine: describeMachine(gpu), model: name, layers };
  const log = (line) => console.log(line);
  log(machineLine(report.machine));
  const { size: fileBytes } = await safetensorsHead(tensors);
  log(`${name}, ${layers} layers of each tower: ${bytes(fileBytes)} in bf16`);
  const { dtype } = options;
  const { model, figures } = await measureLoad(gpu, await source(), { dtype, fileBytes, log });
  report.load = figures;
  const image = picture();
  const { height, width, tiles, patches } = image;
  const cut = tiles?.rows ? `, ${tiles.rows} × ${tiles.columns} tiles and the whole` : '';
  const packed = patches ? `, ${patches.rows} × ${patches.columns} patches` : '';
  const features = model.featureCount(image);
  report.picture = { height, width, tiles, patches, features };
  log(`picture of ${options.picture}: ${width} × ${height}${cut}${packed}; ${features} features`);
  const pair = textPair(image, (question) => family.prompt(model, image, question));
  const depth = model.configs.at(-1).layers;
  const patched = options.patched?.split(',').map(Number) ?? family.patched?.(depth);
  const settings = {
    ...{ repeat: Number(options.repeat), tokens: Number(options.tokens), layers: patched, log },
  };
  for (const part of options.parts.split(',').filter(Boolean))
    report[part] = await MEASURED[part](model, pair, settings);
  if (options.json) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
  model.destroy();
  gpu.destroy();
}

/** The model's folder, which exists only while it is read. */
async function source() {
  const values = randomWeights('BF16');
  const checkpoint = await generatedFile(`${name}/model.safetensors`, tensors, (tensor, first, count) =>
    values(tensor.name, tensor.place, first, count),
  );
  const json = memorySource(new TextEncoder().encode(JSON.stringify(config)), `${name}/config.json`);
  const files = { 'config.json': json, 'model.safetensors': checkpoint };
  return { name, open: async (file) => files[file] };
}

/** A picture of random pixels as the model's processor cuts it. */
function picture() {
  const [width, height] = options.picture.split('x').map(Number);
  const data = Uint8Array.from(randomValues(3 * width * height, 3), (value) => 256 * (value + 0.5));
  return ImageProcessor.from(preprocessor).process({ width, height, data }).pixelValues;
}
