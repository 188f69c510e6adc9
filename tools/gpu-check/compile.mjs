// WGSL → SPIR-V by naga → machine code by Mesa's compilers for GPUs that are not there, with what they say of it.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inParallel, run } from './run.mjs';

/** Chips: of AMD a large one and one in laptops, of Intel Tiger Lake (8 lanes) and Lunar Lake (16). */
export const TARGETS = {
  navi31: { driver: 'radeon', env: { RADV_FORCE_FAMILY: 'navi31' } },
  renoir: { driver: 'radeon', env: { RADV_FORCE_FAMILY: 'renoir' } },
  tgl: { driver: 'intel', env: { INTEL_STUB_GPU_PLATFORM: 'tgl' } },
  lnl: { driver: 'intel', env: { INTEL_STUB_GPU_PLATFORM: 'lnl' } },
};

/** Modules of one call of the compiler: opening a device takes as long as some of them. */
const BATCH = 8;

/** What naga is asked for besides SPIR-V: that it can say a kernel in every language of Firefox's back ends. */
const LANGUAGES = ['--metal-version', '2.4', '--shader-model', '60', '--profile', 'es310'];

/**
 * Has naga validate kernels and translate them, with the checks of bounds that Firefox has it make.
 *
 * @returns paths of SPIR-V by name
 * @throws Error with what naga says, if it refuses one
 */
export async function translate(tools, kernels, folder) {
  mkdirSync(folder, { recursive: true });
  const paths = await inParallel(kernels, async ({ hash, code }) => {
    const [wgsl, spirv, ...others] = ['wgsl', 'spv', 'metal', 'hlsl', 'comp'].map((end) =>
      join(folder, `${hash}.${end}`),
    );
    writeFileSync(wgsl, code);
    await run(tools.naga, ['--index-bounds-check-policy', 'Restrict', ...LANGUAGES, wgsl, spirv, ...others]);
    for (const path of [wgsl, ...others]) rmSync(path);
    return spirv;
  });
  return new Map(kernels.map(({ name }, i) => [name, paths[i]]));
}

/**
 * Compiles kernels for a target.
 *
 * @param code part of the name of the texts that are wanted of the driver, if any
 * @returns by name what the driver says of the executable that runs: { subgroup, statistics, code }
 */
export async function compile(tools, target, kernels, spirv, code) {
  const { driver, env } = TARGETS[target];
  const batches = [];
  for (let i = 0; i < kernels.length; i += BATCH) batches.push(kernels.slice(i, i + BATCH));
  const compiled = new Map();
  await inParallel(batches, async (batch) => {
    const modules = batch.flatMap(({ name, bindings }) => [String(bindings), spirv.get(name)]);
    const text = await run(tools.vkcomp, [...(code ? ['--code', code] : []), ...modules], {
      env: {
        LD_LIBRARY_PATH: tools.libraries,
        VK_ICD_FILENAMES: tools.manifest(driver),
        VK_DRIVER_FILES: tools.manifest(driver),
        MESA_SHADER_CACHE_DISABLE: '1',
        ...env,
        ...(driver === 'intel' ? { LD_PRELOAD: tools.shim } : {}),
      },
    });
    const executables = parse(text);
    for (const { name } of batch) {
      const own = executables.filter(({ path }) => path === spirv.get(name));
      if (own.length === 0) throw new Error(`${target}: the driver says nothing of ${name}`);
      compiled.set(name, chosen(own));
    }
  });
  return compiled;
}

function parse(text) {
  const executables = [];
  for (const part of text.split(/^(?=\S+\.spv\t)/m)) {
    const [line] = part.split('\n', 1);
    const [path, ...pairs] = line.split('\t');
    if (!path.endsWith('.spv')) continue;
    const statistics = Object.fromEntries(pairs.map((pair) => pair.split('=')));
    const code = [...part.matchAll(/^=== .*\n([\s\S]*?)\n=== end$/gm)].map(([, body]) => body).join('\n');
    executables.push({ path, subgroup: Number(statistics.subgroup), statistics, code });
  }
  return executables;
}

/** Of several widths the driver runs the widest that does not spill. */
function chosen(executables) {
  const widest = [...executables].sort((a, b) => b.subgroup - a.subgroup);
  return widest.find((one) => figuresOf(one).spills === 0) ?? widest.at(-1);
}

/** Registers of a thread, what is spilled of them, and cycles by the compiler's own model (of a loop's body once or a few times). */
export function figuresOf({ statistics: s }) {
  const sum = (...names) => names.reduce((total, name) => total + Number(s[name]), 0);
  if ('VGPRs' in s)
    return {
      registers: sum('VGPRs'),
      spills: sum('Spilled VGPRs', 'Spilled SGPRs'),
      cycles: sum('Inverse Throughput'),
    };
  return {
    registers: sum('Max live registers'),
    spills: sum('Spill Count', 'Fill Count'),
    cycles: sum('Cycle Count'),
  };
}
