// What a block of each tower is made of: dispatches, counted, and the GPU's time by kernel.
import { estimateForward } from '../dist/bench/index.js';
import { ModelRun } from '../dist/models/index.js';
import { runWithHooks } from '../dist/patching/index.js';

/**
 * @param sample one prompt
 * @returns {Promise<{ towers: object[], kernels: object[] | undefined }>} dispatches per block of every tower; GPU time by
 *   kernel of one forward pass where the device has timestamps
 */
export async function benchBlocks(model, sample, { log }) {
  const towers = [];
  for (const { name, layers } of model.configs) {
    const upTo = async (hook) => (await estimateForward(model, sample, hook)).dispatches;
    const middle = Math.floor(layers / 2);
    const hookOf = (layer) => `${name}.blocks.${layer}.hook_resid_post`;
    const dispatches = (await upTo(hookOf(middle))) - (await upTo(hookOf(middle - 1)));
    towers.push({ tower: name, layers, dispatchesPerBlock: dispatches });
    log(`${name.padEnd(13)} ${layers} blocks, ${dispatches} dispatches in each`);
  }
  await runWithHooks(model, [sample], {}); // compiles
  return { towers, kernels: await kernelTimes(model, sample, log) };
}

/**
 * GPU time of a forward pass by kernel.
 *
 * @returns {Promise<object[] | undefined>} undefined where the device has no timestamps
 */
export async function kernelTimes(model, sample, log) {
  const times = await model.gpu.work((w) => w.profile(() => model.forward(w, [new ModelRun(sample)])));
  const kernels = times && byKernel(times);
  for (const { kernel, dispatches, ms, share } of kernels ?? [])
    log(
      `  ${kernel.padEnd(56)} ${String(dispatches).padStart(4)} × ${(ms / dispatches).toFixed(3).padStart(9)} ms  ${(100 * share).toFixed(1).padStart(5)} %`,
    );
  return kernels;
}

function byKernel(times) {
  const groups = new Map();
  for (const { kernel, milliseconds = 0 } of times) {
    const group = groups.get(kernel) ?? { kernel, dispatches: 0, ms: 0 };
    group.dispatches++;
    group.ms += milliseconds;
    groups.set(kernel, group);
  }
  const total = [...groups.values()].reduce((sum, { ms }) => sum + ms, 0);
  return [...groups.values()]
    .sort((a, b) => b.ms - a.ms)
    .map((group) => ({ ...group, share: group.ms / total }));
}
