import { type Command, Option } from 'commander';
import { NoticeError } from '../../errors.ts';
import type { NodeGpuOptions } from '../../platform/node/adapter.ts';
import { list, positiveInteger } from '../options.ts';

/** The measurements of bench/, which is JavaScript beside the library. */
interface Bench {
  readonly PARTS: readonly string[];
  runBench(options: {
    readonly parts: readonly string[];
    readonly tune?: boolean | undefined;
    readonly onnx?: boolean | undefined;
    readonly rounds?: number | undefined;
    readonly sample?: number | undefined;
    readonly layers?: number | undefined;
    readonly only?: RegExp | undefined;
    readonly json?: string | undefined;
    readonly gpu: NodeGpuOptions;
  }): Promise<unknown>;
}

interface BenchCommandOptions {
  readonly tune?: boolean;
  readonly onnx?: boolean;
  readonly rounds?: number;
  readonly sample?: number;
  readonly layers?: number;
  readonly only?: RegExp;
  readonly json?: string;
  readonly adapter?: 'auto' | 'hardware' | 'software';
  readonly memory?: number;
  readonly subgroupMatrices?: boolean;
}

const PARTS = 'kernels,blocks,forward,sweep';

export function benchCommand(program: Command): void {
  program
    .command('bench')
    .description(
      'Measures this adapter: kernels, blocks, the vision tower and a sweep of BLIP-VQA-base at its real size (see bench/README.md).',
    )
    .argument('[parts]', 'which of kernels, blocks, forward, sweep, comma-separated', list, list(PARTS))
    .addOption(
      new Option('--adapter <kind>', 'which WebGPU adapter').choices(['auto', 'hardware', 'software']),
    )
    .option('--memory <MiB>', 'GPU memory for activations, in MiB (default 2048)', positiveInteger)
    .option('--subgroup-matrices', "multiply on the GPU's matrix units where it has them (experimental)")
    .option('--tune', "measure candidates of every kernel and keep the fastest in the user's cache")
    .option('--onnx', 'beside ONNX Runtime on the same adapter (installs it into the bench folder)')
    .option('--rounds <n>', 'alternating rounds (default 5)', positiveInteger)
    .option('--sample <n>', 'patches of the sweep that are repeated one by one (default 2)', positiveInteger)
    .option('--layers <n>', 'blocks of the vision tower in forward (default all)', positiveInteger)
    .option('--only <regexp>', 'kernels or choices whose names match', pattern)
    .option('--json <file>', 'write all figures')
    .addHelpText('after', '\nExample:\n  notice bench kernels --only matmul --json rates.json')
    .action((parts: string[], options: BenchCommandOptions) => runBench(parts, options));
}

async function runBench(
  parts: string[],
  { adapter, memory, subgroupMatrices, ...options }: BenchCommandOptions,
): Promise<void> {
  const bench = await loadBench();
  const unknown = parts.filter((part) => !bench.PARTS.includes(part));
  if (unknown.length > 0)
    throw new NoticeError('usage', `unknown part ${unknown.join(', ')}; there are ${bench.PARTS.join(', ')}`);
  const gpu = {
    ...(adapter ? { adapter } : {}),
    ...(memory ? { memoryBudget: memory * 1024 ** 2 } : {}),
    ...(subgroupMatrices ? { subgroupMatrices } : {}),
  };
  await bench.runBench({ ...options, parts, gpu });
}

/** From dist/ and from src/ the folder is equally far. */
async function loadBench(): Promise<Bench> {
  const url = new URL('../../../bench/index.mjs', import.meta.url);
  return (await import(url.href)) as Bench;
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new NoticeError('usage', `--only: ${(error as Error).message}`);
  }
}
