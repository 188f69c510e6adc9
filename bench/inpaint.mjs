// Stable Diffusion 2 inpainting at its real dimensions with random f16 weights: the prompts' encoder, one guided or unguided pass
// of the UNet, and the decoder, each beside what its operations take at the matmul rate of the same run, and beside the memory
// that its plan said.
//
//   node bench/inpaint.mjs [--size 512] [--runs 1|2] [--parts text,step,decode] [--json FILE]
//
// Weights are computed when they are read; nothing is written to disk.
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { bytes } from '../dist/cli/plan.js';
import { measureMatmulRate } from '../dist/kernels/index.js';
import { loadInpainting } from '../dist/models/index.js';
import { openGpu } from '../dist/platform/node/adapter.js';
import { memorySource } from '../dist/weights/index.js';
import { generatedFile } from './generated-file.mjs';
import { TEXT, textTensors, UNET, unetTensors, VAE, vaeTensors } from './inpaint-tensors.mjs';
import { describeMachine, machineLine } from './machine.mjs';
import { randomWeights } from './random-weights.mjs';

const { values: options } = parseArgs({
  options: {
    size: { type: 'string', default: '512' },
    runs: { type: 'string', default: '1' },
    parts: { type: 'string', default: 'text,step,decode' },
    json: { type: 'string' },
  },
});
const size = Number(options.size);
const runs = Number(options.runs);
const gpu = await openGpu();
const report = { machine: describeMachine(gpu), size, runs, parts: {} };
console.log(machineLine(report.machine));
const model = await loadInpainting(gpu, await source());
report.weightBytes = model.weightBytes;
console.log(`weights ${bytes(model.weightBytes)} in f16`);
const estimate = await model.estimate({ width: size, height: size }, runs);
for (const part of options.parts.split(',')) {
  const { flops, peakBytes } = estimate[part];
  const before = await measureMatmulRate(gpu);
  gpu.pool.resetPeak();
  const start = performance.now();
  await model.rehearse(part, { width: size, height: size }, runs);
  const seconds = (performance.now() - start) / 1000;
  const rate = (before + (await measureMatmulRate(gpu))) / 2;
  const { peakUsedBytes } = gpu.pool.statistics;
  report.parts[part] = {
    seconds,
    flops,
    rate,
    overIdeal: (seconds * rate) / flops,
    peakBytes,
    peakUsedBytes,
  };
  console.log(
    `${part}: ${seconds.toFixed(1)} s, ${((seconds * rate) / flops).toFixed(2)} times what ${(flops / 1e9).toFixed(0)} GFLOP take at ` +
      `${(rate / 1e9).toFixed(2)} GFLOP/s; memory ${bytes(peakUsedBytes)}, planned ${bytes(peakBytes)}`,
  );
}
if (options.json) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
model.destroy();
gpu.destroy();

/** The model's folder, which exists only while it is read; the tokenizer is the test fixture's. */
async function source() {
  const values = randomWeights('F16');
  const weights = (part, stem, tensors) => {
    const list = Array.from(tensors, ([name, shape], place) => ({ name, dtype: 'F16', shape, place }));
    return generatedFile(`${part}/${stem}`, list, (tensor, first, count) =>
      values(tensor.name, tensor.place, first, count),
    );
  };
  const fixture = (file) =>
    readFileSync(new URL(`../test/fixtures/sd-inpaint-tiny/${file}`, import.meta.url));
  const files = {
    'unet/config.json': UNET,
    'vae/config.json': VAE,
    'text_encoder/config.json': TEXT,
    'unet/diffusion_pytorch_model.fp16.safetensors': await weights('unet', 'weights', unetTensors(UNET)),
    'vae/diffusion_pytorch_model.fp16.safetensors': await weights('vae', 'weights', vaeTensors(VAE)),
    'text_encoder/model.fp16.safetensors': await weights('text_encoder', 'weights', textTensors(TEXT)),
  };
  for (const file of [
    'model_index.json',
    'scheduler/scheduler_config.json',
    ...['vocab.json', 'merges.txt', 'tokenizer_config.json', 'special_tokens_map.json'].map(
      (name) => `tokenizer/${name}`,
    ),
  ])
    files[file] = fixture(file);
  return {
    name: 'stable-diffusion-2-inpainting',
    async open(file) {
      const found = files[file];
      if (found === undefined || 'read' in found) return found;
      const data = found instanceof Uint8Array ? found : new TextEncoder().encode(JSON.stringify(found));
      return memorySource(new Uint8Array(data), file);
    },
  };
}
