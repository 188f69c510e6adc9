// npm run gpu-check: the compilers of AMD, Intel and Firefox on every kernel of the device class 'gpu', without a GPU.
//
//   --only REGEX   kernels whose names match alone; the report keeps the rows of the others
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { PipelineCache } from '../../dist/gpu/pipeline.js';
import * as K from '../../dist/kernels/index.js';
import { compile, figuresOf, TARGETS, translate } from './compile.mjs';
import { gpuKernels, matmulVariants } from './gpu-kernels.mjs';
import { installTools } from './install.mjs';
import { checkOrder } from './order/index.mjs';
import { readReport, updateReport } from './report.mjs';
import { run } from './run.mjs';
import { tablesOf, tooSlow } from './tables.mjs';

const { values: options } = parseArgs({ options: { only: { type: 'string', default: '' } } });
const tools = await installTools();
const all = gpuKernels(K, PipelineCache);
const kernels = all.filter(({ name }) => new RegExp(options.only).test(name));
if (kernels.length === 0) throw new Error(`--only ${options.only}: no kernel has such a name`);
const folder = mkdtempSync(join(tmpdir(), 'gpu-check-'));
const failures = [];
try {
  const spirv = await translate(tools, kernels, folder);
  console.log(`naga validates and translates ${kernels.length} of ${all.length} kernels`);
  const results = {};
  for (const target of Object.keys(TARGETS)) {
    results[target] = await compile(tools, target, kernels, spirv);
    const spilling = kernels.filter(({ name }) => figuresOf(results[target].get(name)).spills > 0);
    console.log(`${target}: ${kernels.length} kernels compiled, ${spilling.length} spill`);
    for (const { name, usual } of spilling) {
      console.log(
        `  ${usual ? 'default' : 'candidate'} ${name}: ${JSON.stringify(figuresOf(results[target].get(name)))}`,
      );
      if (usual) failures.push(`${target}: ${name} spills registers, and the library chooses it by default`);
    }
  }
  const naga = (await run(tools.naga, ['--version'])).trim();
  const { tiles, rows } = readReport();
  const tables = tablesOf(matmulVariants(K), results) ?? { tiles, rows };
  failures.push(...tooSlow(tables));
  updateReport(all, results, { mesa: tools.mesaVersion, naga }, tables);
  failures.push(...(await checkOrder(tools, kernels, folder)));
  if (!options.only) for (const deviceClass of ['software', 'gpu']) await runModels(deviceClass);
  if (options.only)
    for (const { name } of kernels) {
      const figures = Object.keys(TARGETS).map(
        (t) => `${t} ${Object.values(figuresOf(results[t].get(name))).join('/')}`,
      );
      console.log(`${name}: ${figures.join(', ')} (registers/spills/cycles)`);
    }
} finally {
  rmSync(folder, { recursive: true });
}
for (const failure of failures) console.error(failure);
process.exitCode = failures.length > 0 ? 1 : 0;

/** Firefox's WebGPU on lavapipe, with whole models. */
async function runModels(deviceClass) {
  const script = fileURLToPath(new URL('models.mjs', import.meta.url));
  const flags = ['run', '-A', '--node-modules-dir=manual', '--unstable-webgpu'];
  const driver = tools.manifest('lvp');
  const env = { LD_LIBRARY_PATH: tools.libraries, VK_ICD_FILENAMES: driver, VK_DRIVER_FILES: driver };
  try {
    process.stdout.write(await run(tools.deno, [...flags, script, deviceClass], { env }));
  } catch (error) {
    failures.push(error.message);
  }
}
