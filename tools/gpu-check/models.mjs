// Run by Deno, whose WebGPU is Firefox's (wgpu, naga): whole models of the fixtures by the built library, in one device class.
// Every activation against Hugging Face's, a batch against each sample alone, a sweep against its cells one by one.
//
//   deno run … models.mjs software|gpu
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadModel, runWithCache, runWithHooks, sweep } from '../../dist/index.js';
import { openGpu } from '../../dist/platform/browser/index.js';
import { fileSource, nodeFolder } from '../../dist/platform/node/files.js';
import { asFloat32, readTensors } from '../../dist/weights/index.js';

/** Of a tensor's largest value, as in test/support/golden.ts: the reference's own f32 error is up to 4e-5. */
const GOLDEN = 1e-4;
const NOT_HOOKS = ['input_ids', 'pixel_values', 'generate_logits', 'logits_nf4_weights'];
const SITES = {
  'blip-tiny': [
    { site: 'text_encoder.hook_mlp_out' },
    { site: 'text_encoder.cross_attn.hook_z', heads: true },
    { site: 'text_encoder.hook_resid_pre' },
  ],
  'llava-tiny': [{ site: 'language.hook_mlp_out' }, { site: 'language.attn.hook_z', heads: true }],
};

const [deviceClass] = Deno.args;
const gpu = await openGpu({ deviceClass });
const { description, architecture } = gpu.capabilities;
console.log(`Deno ${Deno.version.deno} on ${description || architecture}, as ${deviceClass}`);
const problems = [];
for (const folder of Object.keys(SITES)) problems.push(...(await checkModel(folder)));
gpu.destroy();
for (const problem of problems) console.error(problem);
Deno.exit(problems.length > 0 ? 1 : 0);

async function checkModel(folder) {
  const path = (name) => fileURLToPath(new URL(`../../test/fixtures/${folder}/${name}`, import.meta.url));
  const { cases } = JSON.parse(readFileSync(path('cases.json'), 'utf8'));
  const source = await fileSource(path('golden.safetensors'));
  const golden = await readTensors(source);
  await source.close();
  const model = await loadModel(gpu, await nodeFolder(path('.')));
  const found = [];

  const sample = (id, run) => {
    const pixels = golden.get(`${id}/${run}/pixel_values`) ?? golden.get(`${id}/clean/pixel_values`);
    const [height, width] = pixels.shape.slice(-2);
    const ids = [...golden.get(`${id}/${run}/input_ids`).data].map(Number);
    return { images: [{ data: asFloat32(pixels, 'pixel_values'), height, width }], ids };
  };
  let compared = 0;
  let worst = 0;
  for (const { id } of cases)
    for (const run of ['clean', 'corrupt']) {
      const { logits, cache } = await runWithCache(model, [sample(id, run)]);
      for (const [full, tensor] of golden) {
        const name = full.slice(`${id}/${run}/`.length);
        if (!full.startsWith(`${id}/${run}/`) || NOT_HOOKS.includes(name)) continue;
        const error = errorOfMax(
          name === 'logits' ? logits[0] : await cache.read(name),
          asFloat32(tensor, full),
        );
        compared++;
        worst = Math.max(worst, error);
        if (!(error <= GOLDEN))
          found.push(`${folder}: ${full} is off by ${error.toExponential(1)} of its largest value`);
      }
      cache.release();
    }

  const samples = cases.map(({ id }) => sample(id, 'clean'));
  const together = await runWithHooks(model, samples, {});
  for (const [i, one] of samples.entries()) {
    const [alone] = await runWithHooks(model, [one], {});
    if (differing(together[i], alone) > 0)
      found.push(`${folder}: sample ${i} of a batch has other bits than alone`);
  }

  const [{ id, mode, correct_token: correct, incorrect_token: incorrect }] = cases.filter(
    ({ corrupt }) => corrupt,
  );
  const clean = sample(id, 'clean');
  const corrupt =
    mode === 'text' ? { ...sample(id, 'corrupt'), images: clean.images } : sample(id, 'corrupt');
  const job = { clean, corrupt, correct, incorrect, sites: SITES[folder] };
  const [wave] = await sweep(model, [job]);
  const [single] = await sweep(model, [job], { mode: 'one-by-one' });
  let numbers = 0;
  for (const [i, { site, data }] of wave.sites.entries()) {
    const bits = differing(Float32Array.from(data), Float32Array.from(single.sites[i].data));
    numbers += data.length;
    if (bits > 0)
      found.push(`${folder}: ${bits} numbers of the sweep of ${site} have other bits than one by one`);
  }
  model.destroy();
  console.log(
    `  ${folder}: ${compared} tensors, the worst off by ${worst.toExponential(1)} of its largest value; ` +
      `${samples.length} samples in a batch and ${numbers} numbers of a sweep ${found.length ? 'with faults' : 'bit for bit as alone'}`,
  );
  if (compared === 0 || numbers === 0) found.push(`${folder}: nothing was compared`);
  return found;
}

function errorOfMax(actual, expected) {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  const max = expected.reduce(
    (most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most),
    0,
  );
  return actual.reduce((most, value, i) => {
    if (Object.is(value, expected[i])) return most; // infinite scores of masked keys
    const error = Math.abs(value - expected[i]) / max;
    return Number.isNaN(error) ? Number.POSITIVE_INFINITY : Math.max(most, error);
  }, 0);
}

function differing(a, b) {
  const [x, y] = [a, b].map((values) => new Uint32Array(values.buffer, values.byteOffset, values.length));
  if (x.length !== y.length) return Number.POSITIVE_INFINITY;
  return x.reduce((count, word, i) => count + Number(word !== y[i]), 0);
}
