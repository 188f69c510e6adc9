// BLIP-VQA-base at its real size with weights that follow from a formula, so that nothing is downloaded or stored: a
// safetensors file whose bytes are computed when they are read. Hugging Face's numbers for these weights are in
// test/fixtures/blip-vqa-base-formula.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { fileSource } from '../dist/platform/node/files.js';
import { readTensors } from '../dist/weights/index.js';
import { generatedFile } from './generated-file.mjs';

const FOLDER = new URL('../test/fixtures/blip-vqa-base-formula/', import.meta.url);

export const golden = JSON.parse(readFileSync(new URL('golden.json', FOLDER), 'utf8'));

const fnv1a32 = (text) => {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
};

/** Elements `first` to `first + count` of the tensor called `name`: offset + u · scale, u in [−0.5, 0.5). */
function formulaValues(name, first, count, offset, scale) {
  const values = new Float32Array(count);
  const start = fnv1a32(name);
  const factor = Math.fround(scale);
  for (let k = 0; k < count; k++) {
    let x = (Math.imul(first + k, 0x9e3779b9) + start) | 0;
    x ^= x >>> 16;
    x = Math.imul(x, 0x7feb352d);
    x ^= x >>> 15;
    x = Math.imul(x, 0x846ca68b);
    x ^= x >>> 16;
    const u = (x >>> 8) * 2 ** -24 - 0.5;
    values[k] = offset + Math.fround(u * factor);
  }
  return values;
}

const RULES = golden.weights.rules.map((rule) => ({ ...rule, regexp: new RegExp(rule.pattern) }));

function parametersOf(name, shape) {
  const { offset, scale, gain } = RULES.find(({ regexp }) => regexp.test(name));
  const fanIn = shape.slice(1).reduce((product, size) => product * size, 1);
  return { offset, scale: gain === undefined ? scale : gain / Math.sqrt(fanIn) };
}

/** The formula's values, checked against the first ones that the fixture gives. */
function checkFormula() {
  for (const [name, values] of Object.entries(golden.weights.first_values)) {
    const shape = golden.weights.tensors[name];
    const { offset, scale } = shape ? parametersOf(name, shape) : { offset: 0, scale: 4 };
    const found = formulaValues(name, 0, values.length, offset, scale);
    values.forEach((value, i) => {
      if (Math.fround(value) !== found[i])
        throw new Error(`${name}[${i}] is ${found[i]}, the fixture has ${value}`);
    });
  }
}

/** A model folder (config.json and model.safetensors) that exists only while it is read. */
export async function formulaModel() {
  checkFormula();
  const tensors = Object.entries(golden.weights.tensors).map(([name, shape]) => ({
    ...{ name, dtype: 'F32', shape },
    ...parametersOf(name, shape),
  }));
  const file = await generatedFile('formula/model.safetensors', tensors, (tensor, first, count) =>
    formulaValues(tensor.name, first, count, tensor.offset, tensor.scale),
  );
  return {
    name: 'formula',
    async open(asked) {
      if (asked === 'config.json') return fileSource(fileURLToPath(new URL('config.json', FOLDER)));
      return asked === 'model.safetensors' ? file : undefined;
    },
  };
}

/** Pixel values by the fixture's formula. */
export function formulaPixels(name) {
  return { data: formulaValues(name, 0, 3 * 384 * 384, 0, 4), height: 384, width: 384 };
}

/** The fixture's three runs: clean, corrupt_image, corrupt_text. Those with the same image share the object. */
export function formulaSamples() {
  const images = new Map();
  const sample = (run) => {
    const name = golden.pixel_values[run];
    if (!images.has(name)) images.set(name, formulaPixels(name));
    return { images: [images.get(name)], ids: golden.input_ids[run] };
  };
  return {
    clean: sample('clean'),
    corrupt_image: sample('corrupt_image'),
    corrupt_text: sample('corrupt_text'),
  };
}

export async function goldenTensors() {
  const source = await fileSource(fileURLToPath(new URL('golden.safetensors', FOLDER)));
  try {
    return await readTensors(source);
  } finally {
    await source.close();
  }
}
