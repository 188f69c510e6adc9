// The kernels of the device class 'gpu', as the modules that a device without immediate data compiles.
import { createHash } from 'node:crypto';
import {
  callCandidates,
  callDefaultMatmuls,
  callEveryKernel,
  callPlainMatmul,
  onlyDispatching,
} from './every-kernel.mjs';

/** What kernels go by: a GPU with 32 KiB of memory for a workgroup, as most have. */
const CAPABILITIES = {
  software: false,
  subgroupSize: 32,
  tuning: {},
  features: new Set(),
  maxDispatchFlops: 1e11,
  limits: {
    maxComputeWorkgroupsPerDimension: 65535,
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupStorageSize: 32768,
  },
};

/**
 * @param K src/kernels, as sources or compiled
 * @param PipelineCache of src/gpu
 * @returns kernels with their modules. `usual`: the library chooses it by itself; the others are candidates of tuning.
 */
export function gpuKernels(K, PipelineCache) {
  const modules = new PipelineCache(undefined, false, undefined, false); // for its texts alone
  const kernels = new Map();
  const collect = (usual) => (source) => {
    const { name, bindings } = source;
    const code = modules.text(source);
    const known = kernels.get(name);
    if (known && known.code !== code) throw new Error(`two kernels are called ${name}`);
    if (known) return;
    const hash = hashOf(code);
    kernels.set(name, { name, code, hash, bindings: Object.keys(bindings).length, usual });
  };
  callEveryKernel(K, onlyDispatching(CAPABILITIES, collect(true)));
  callDefaultMatmuls(K, onlyDispatching(CAPABILITIES, collect(true)));
  callCandidates(K, onlyDispatching(CAPABILITIES, collect(false)));
  return [...kernels.values()];
}

/** First digits of the SHA-256 of WGSL without its comments. */
export function hashOf(code) {
  const statements = code.replace(/\s*\/\/.*$/gm, '');
  return createHash('sha256').update(statements).digest('hex').slice(0, 16);
}

/** The variants of matrix products that the library chooses or tries, with the names of their plain kernels. */
export function matmulVariants(K) {
  return K.tuningTasks(CAPABILITIES).flatMap(({ key, type, candidates }) =>
    candidates.map((variant, i) => {
      let name;
      const w = onlyDispatching(CAPABILITIES, (source) => {
        name = source.name;
      });
      callPlainMatmul(K, w, type, variant);
      return { shape: key.split(' ')[2], type, variant, usual: i === 0, name };
    }),
  );
}
