// Single kernels at the shapes that BLIP-VQA-base has (src/bench/cases.ts), and on request beside ONNX Runtime.
import { kernelCases, kernelLine, measureKernel, median } from '../dist/bench/index.js';
import { cpuTime, ratio } from './measure.mjs';
import { attentionModel, matmulModel } from './onnx-graph.mjs';
import { onnxSession } from './onnx-runtime.mjs';

/**
 * @param {{ rounds: number, onnx: boolean, peak: { flops: number, bytes: number }, only?: RegExp, log: (line: string) => void }} options
 * @returns {Promise<object[]>} one result per case
 */
export async function benchKernels(gpu, { rounds, onnx, peak, only, log }) {
  const rivals = onnx ? onnxRivals : undefined;
  const results = [];
  for (const one of kernelCases().filter(({ name }) => !only || only.test(name))) {
    const { result, times } = await measureKernel(gpu, one, { rounds, peak, cpuTime, rivals });
    const whole = { ...result, ...comparison(times) };
    log(lineOf(whole));
    results.push(whole);
  }
  return results;
}

/** ONNX Runtime's kernel, and ours from host memory to host memory as it has to go. */
async function onnxRivals({ host, check, fromHost }) {
  if (!host) return [];
  const { model, inputs } = host.kind === 'product' ? product(host) : attention(host);
  const session = await onnxSession(model);
  const [output] = Object.values(await session(inputs));
  await check(output);
  return [
    { name: 'end to end', run: fromHost },
    { name: 'onnx', run: () => session(inputs) },
  ];
}

function product({ m, k, n, x, weight }) {
  return { model: matmulModel({ m, k, n }, weight), inputs: { a: [x, [m, k]] } };
}

/** ONNX's layout is [1, heads, positions, d_head]. */
function attention({ heads, positions, headSize, qkv }) {
  const width = heads * headSize;
  const part = (which) =>
    Float32Array.from({ length: positions * width }, (_, i) => {
      const [h, rest] = [Math.floor(i / (positions * headSize)), i % (positions * headSize)];
      const [p, d] = [Math.floor(rest / headSize), rest % headSize];
      return qkv[3 * p * width + which * width + h * headSize + d];
    });
  const dims = [1, heads, positions, headSize];
  return {
    model: attentionModel({ heads, positions, headSize }),
    inputs: Object.fromEntries(['q', 'k', 'v'].map((name, i) => [name, [part(i), dims]])),
  };
}

function comparison(times) {
  const [onnx, endToEnd] = ['onnx', 'end to end'].map((name) => times.get(name));
  if (!onnx) return {};
  return {
    endToEndMs: median(endToEnd.wall),
    onnxMs: median(onnx.wall),
    ratio: ratio(onnx, endToEnd),
    residentRatio: ratio(onnx, times.get('kernel')),
  };
}

function lineOf(result) {
  const { onnxMs, endToEndMs, ratio: onnxRatio, residentRatio } = result;
  if (!onnxMs) return kernelLine(result);
  const rounds = onnxRatio.rounds.map((value) => value.toFixed(1)).join(', ');
  return `${kernelLine(result)}   end to end ${endToEndMs.toFixed(2)} ms, ONNX Runtime ${onnxMs.toFixed(1)} ms: ${onnxRatio.median.toFixed(1)} times (${rounds}; by CPU time ${onnxRatio.cpu.toFixed(1)}; with data on the device ${residentRatio.median.toFixed(1)})`;
}
