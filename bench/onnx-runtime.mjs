// ONNX Runtime on the same adapter: its WebGPU provider is Dawn too, and finds the Vulkan driver that this process uses.
// Installed into this folder when a comparison is asked for; the library itself does not know of it.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const require = createRequire(import.meta.url);

export function onnxRuntimeInstalled() {
  return (
    existsSync(`${FOLDER}node_modules/onnxruntime-node`) && existsSync(`${FOLDER}node_modules/protobufjs`)
  );
}

/** Installs onnxruntime-node and protobufjs if they are missing. */
export function installOnnxRuntime() {
  if (onnxRuntimeInstalled()) return;
  console.error('Installing onnxruntime-node into bench/node_modules …');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  // Its install script downloads CUDA libraries, which the WebGPU provider does not need.
  const options = ['--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync(npm, ['install', '--prefix', FOLDER, ...options], {
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: process.platform === 'win32',
  });
}

export function loadOnnxRuntime() {
  return require('onnxruntime-node');
}

/**
 * A session on the WebGPU provider.
 *
 * @param {Uint8Array} model an encoded ModelProto
 * @returns a function that runs it: inputs by name as [values, dims], outputs by name as Float32Array
 */
export async function onnxSession(model) {
  const { InferenceSession, Tensor } = loadOnnxRuntime();
  const session = await InferenceSession.create(model, {
    executionProviders: ['webgpu'],
    logSeverityLevel: 3,
  });
  return async (inputs) => {
    const feeds = Object.fromEntries(
      Object.entries(inputs).map(([name, [values, dims]]) => [name, new Tensor('float32', values, dims)]),
    );
    const outputs = await session.run(feeds);
    return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data]));
  };
}
