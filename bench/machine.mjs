// What a figure depends on: adapter, driver, versions, and how busy the machine was.
import { createRequire } from 'node:module';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { loadOnnxRuntime, onnxRuntimeInstalled } from './onnx-runtime.mjs';

const require = createRequire(import.meta.url);
const versionOf = (path) => require(path).version;

/** @param gpu an open Gpu */
export function describeMachine(gpu) {
  const { vendor, architecture, description, features, subgroupSize, subgroupMatrix, tuning } =
    gpu.capabilities;
  return {
    date: new Date().toISOString(),
    adapter: { vendor, architecture, description, features: [...features], subgroupSize, subgroupMatrix },
    tuned: Object.keys(tuning).length,
    versions: {
      'notice-webgpu': versionOf('../package.json'),
      'webgpu (Dawn)': versionOf('webgpu/package.json'),
      node: process.versions.node,
      ...(onnxRuntimeInstalled() ? { 'onnxruntime-node': loadOnnxRuntime().env.versions.node } : {}),
    },
    cpu: `${cpus()[0]?.model.trim()}, ${availableParallelism()} threads`,
    /** Processes that wanted to run in the last minute, before the bench. */
    load: loadavg()[0],
  };
}

/** One line for the head of a table. */
export function machineLine({ date, adapter, versions, cpu, load, tuned }) {
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return (
    `${date.slice(0, 16).replace('T', ' ')} · ${adapter.description} (subgroups of ${adapter.subgroupSize || 'varying size'}${matrices(adapter)}` +
    `${tuned > 0 ? `, ${tuned} choices tuned` : ''}) · ${cpu}, load ${load.toFixed(1)} before · ${list.join(', ')}`
  );
}

function matrices({ subgroupMatrix }) {
  return subgroupMatrix
    ? `, products on matrices of ${subgroupMatrix.M} × ${subgroupMatrix.N} × ${subgroupMatrix.K}`
    : '';
}
