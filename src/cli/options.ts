// Options that commands share, and what they open.

import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Gpu } from '../gpu/index.ts';
import type { ElementType } from '../kernels/index.ts';
import { loadModel, Processor, type VisionLanguageModel } from '../models/index.ts';
import { openGpu } from '../platform/node/adapter.ts';
import { nodeFolder } from '../platform/node/files.ts';

export interface ModelOptions {
  readonly model: string;
  readonly dtype?: ElementType;
  readonly adapter?: 'auto' | 'hardware' | 'software';
  readonly memory?: number;
  readonly template?: string;
}

export const DTYPES: readonly ElementType[] = ['f32', 'f16', 'bf16'];

/** Options of every command that runs a model. */
export function addModelOptions(command: Command, defaultModel?: string): Command {
  const model = new Option('--model <folder>', 'model folder in Hugging Face layout');
  if (defaultModel) model.default(defaultModel);
  else model.makeOptionMandatory();
  return command
    .addOption(model)
    .addOption(
      new Option('--dtype <type>', 'storage of the weights; default as in the file').choices([...DTYPES]),
    )
    .addOption(
      new Option('--adapter <kind>', 'which WebGPU adapter').choices(['auto', 'hardware', 'software']),
    )
    .option('--memory <MiB>', 'GPU memory for activations, in MiB (default 2048)', positiveInteger);
}

export interface OpenModel {
  readonly gpu: Gpu;
  readonly model: VisionLanguageModel;
  /** Reads tokenizer and preprocessor, which a command may not need. */
  processor(): Promise<Processor>;
}

/** Opens the device and the model, runs `work`, and closes both. */
export async function withModel<T>(options: ModelOptions, work: (open: OpenModel) => Promise<T>): Promise<T> {
  const source = await nodeFolder(options.model);
  const gpu = await openGpu({
    ...(options.adapter ? { adapter: options.adapter } : {}),
    ...(options.memory ? { memoryBudget: options.memory * 1024 ** 2 } : {}),
  });
  try {
    const model = await loadModel(gpu, source, options.dtype ? { dtype: options.dtype } : {});
    return await work({ gpu, model, processor: () => Processor.load(model, source, options.template) });
  } finally {
    gpu.destroy();
  }
}

/** A comma-separated list. */
export function list(text: string): string[] {
  const items = text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean);
  if (items.length === 0) throw new InvalidArgumentError('expected a comma-separated list.');
  return items;
}

/** `all`, or a comma-separated list of positions. */
export function positions(text: string): number[] | 'all' {
  if (text === 'all') return 'all';
  return list(text).map((item) => {
    const position = Number(item);
    if (!Number.isInteger(position) || position < 0)
      throw new InvalidArgumentError(`"${item}" is not a position; expected "all" or numbers from 0.`);
    return position;
  });
}

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value <= 0) throw new InvalidArgumentError('expected a positive integer.');
  return value;
}
