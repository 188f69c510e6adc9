// node test/mutants/run.mjs --help
import { join } from 'node:path';
import { runnerImport } from 'vite';

const [first, root] = process.argv.slice(2);
const load = async (name) =>
  (await runnerImport(join(import.meta.dirname, name), { configFile: false })).module;
if (first === '--host') await (await load('host.ts')).host(root);
else await (await load('campaign.ts')).main(process.argv.slice(2));
