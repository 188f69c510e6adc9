// The bench: kernels, blocks, the vision tower and the standard sweep, on this machine's adapter.
import { writeFileSync } from 'node:fs';
import { measurePeak } from '../dist/bench/index.js';
import { formatPlan } from '../dist/cli/plan.js';
import { loadModel } from '../dist/models/index.js';
import { openGpu } from '../dist/platform/node/adapter.js';
import { benchBlocks } from './blocks.mjs';
import { formulaModel, formulaSamples } from './formula-model.mjs';
import { benchForward } from './forward.mjs';
import { benchKernels } from './kernels.mjs';
import { describeMachine, machineLine } from './machine.mjs';
import { installOnnxRuntime } from './onnx-runtime.mjs';
import { benchSweep } from './sweep.mjs';
import { tune } from './tune.mjs';

export const PARTS = ['kernels', 'blocks', 'forward', 'sweep'];

/**
 * Runs parts of the bench. Every result is checked before it is timed.
 *
 * @param {object} [options]
 * @param {readonly string[]} [options.parts] of PARTS; default all
 * @param {boolean} [options.tune] measure candidates of kernels and keep the winners, in place of the parts
 * @param {boolean} [options.onnx] compare with ONNX Runtime's WebGPU provider in kernels and forward; installs it if needed
 * @param {number} [options.rounds] alternating rounds, default 5
 * @param {number} [options.sample] cells of the sweep that are repeated one by one, default 2
 * @param {number} [options.layers] blocks of the vision tower in forward, default all
 * @param {RegExp} [options.only] names of kernels, or keys to tune
 * @param {string} [options.json] file for the results
 * @param {object} [options.gpu] options of openGpu
 * @param {(line: string) => void} [options.log]
 * @returns {Promise<object>} the results, as they are written to `json`
 */
export async function runBench(options = {}) {
  const {
    parts = PARTS,
    onnx = false,
    rounds = 5,
    sample = 2,
    layers,
    only,
    json,
    log = console.log,
  } = options;
  if (onnx) installOnnxRuntime();
  // Matrix units are measured beside the kernels that are tuned: a candidate's kernel is the same on such a device.
  const gpu = await openGpu({ ...options.gpu, ...(options.tune && { subgroupMatrices: true }) });
  const report = { machine: describeMachine(gpu) };
  try {
    log(machineLine(report.machine));
    if (options.tune) report.tuning = await tune(gpu, { machine: report.machine, rounds, only, log });
    else Object.assign(report, await runParts(gpu, parts, { onnx, rounds, sample, layers, only, log }));
    if (json) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
    return report;
  } finally {
    gpu.destroy();
  }
}

async function runParts(gpu, parts, options) {
  const { log, sample } = options;
  const report = {};
  if (parts.includes('kernels')) {
    const peak = await measurePeak(gpu);
    log(
      `measured peak: ${(peak.flops / 1e9).toPrecision(3)} GFLOP/s in registers, ${(peak.bytes / 1e9).toPrecision(3)} GB/s read`,
    );
    report.peak = peak;
    report.kernels = await benchKernels(gpu, { ...options, peak });
  }
  if (!parts.some((part) => part !== 'kernels')) return report;
  const source = await formulaModel();
  const model = await loadModel(gpu, source);
  const { clean } = formulaSamples();
  if (parts.includes('blocks')) report.blocks = await benchBlocks(model, clean, options);
  if (parts.includes('forward')) report.forward = await benchForward(model, source, clean, options);
  if (parts.includes('sweep')) report.sweep = await benchSweep(model, { sample, formatPlan, log });
  model.destroy();
  return report;
}
