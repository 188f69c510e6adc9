// The whole vision tower of BLIP-VQA-base (ViT-B/16 on 384 × 384), from pixel values in host memory to its output there.
import { estimateForward, forwardLine, forwardTo } from '../dist/bench/index.js';
import { openSafetensors } from '../dist/weights/index.js';
import { alternate, median, ratio, stopwatch } from './measure.mjs';
import { visionModel } from './onnx-graph.mjs';
import { onnxSession } from './onnx-runtime.mjs';

/**
 * @param source the model's folder, whose weights ONNX Runtime gets too
 * @param {{ rounds: number, onnx: boolean, layers?: number, log: (line: string) => void }} options `layers`: only the first
 *   blocks, on both sides
 */
export async function benchForward(model, source, sample, { rounds, onnx, layers, log }) {
  const { tower: vision, imageSize, patchSize, eps: visionEps } = model.config.vision;
  const depth = layers ?? vision.layers;
  const hook = depth === vision.layers ? 'vision.hook_out' : `vision.blocks.${depth - 1}.hook_resid_post`;
  const own = () => forwardTo(model, sample, hook);
  const { flops, dispatches } = await estimateForward(model, sample, hook);
  const contenders = [{ name: 'own', run: own }];
  let difference;
  if (onnx) {
    const weights = await visionWeights(source, depth, vision.layers);
    const shape = { ...vision, layers: depth, ofLayers: vision.layers, imageSize, patchSize, eps: visionEps };
    const session = await onnxSession(visionModel(shape, (name) => weights.get(name)));
    const inputs = { pixel_values: [sample.images[0].data, [1, 3, imageSize, imageSize]] };
    const { wall, result } = await stopwatch(() => session(inputs));
    difference = relativeDifference(await own(), Object.values(result)[0]);
    log(
      `ONNX Runtime's first run, with compilation: ${(wall / 1000).toFixed(1)} s; outputs differ by ${difference.toExponential(1)} of the largest value`,
    );
    if (!(difference < 1e-3)) throw new Error('ONNX Runtime and we do not compute the same; not timed');
    contenders.push({ name: 'onnx', run: () => session(inputs) });
  }
  const times = await alternate(contenders, { rounds, warmups: onnx ? 0 : 1 });
  const ms = median(times.get('own').wall);
  const result = {
    name: `ViT-B/16-384, ${depth} of ${vision.layers} blocks`,
    ms,
    cpuMs: median(times.get('own').cpu),
    flops: (1000 * flops) / ms,
    dispatches,
    ...(onnx
      ? {
          difference,
          onnxMs: median(times.get('onnx').wall),
          ratio: ratio(times.get('onnx'), times.get('own')),
        }
      : {}),
  };
  const comparison = onnx
    ? `; ONNX Runtime ${(result.onnxMs / 1000).toFixed(1)} s, ${result.ratio.median.toFixed(1)} times (by CPU time ${result.ratio.cpu.toFixed(1)})`
    : '';
  log(`${forwardLine(result)}${comparison}`);
  return result;
}

/** The tensors of the checkpoint that the tower's first `depth` blocks need, without `vision_model.`. */
async function visionWeights(source, depth, layers) {
  const file = await source.open('model.safetensors');
  const { tensors } = await openSafetensors(file);
  const weights = new Map();
  for (const { name, dtype, begin, end } of tensors.values()) {
    const [, own] = /^vision_model\.(.*)$/.exec(name) ?? [];
    const layer = Number(/layers\.(\d+)\./.exec(own ?? '')?.[1] ?? 0);
    if (!own || layer >= depth || (own.startsWith('post_') && depth < layers)) continue;
    if (dtype !== 'F32') throw new Error(`${name} is ${dtype}; the comparison takes F32`);
    weights.set(own, new Float32Array((await file.read(begin, end - begin)).buffer));
  }
  await file.close();
  return weights;
}

function relativeDifference(own, other) {
  let error = 0;
  let largest = 0;
  for (let i = 0; i < other.length; i++) {
    error = Math.max(error, Math.abs(own[i] - other[i]));
    largest = Math.max(largest, Math.abs(other[i]));
  }
  return error / largest;
}
