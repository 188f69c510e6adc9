import type { Command } from 'commander';
import { namingNotFinite } from '../../patching/index.ts';
import { readImage } from '../../platform/node/images.ts';
import {
  addModelOptions,
  imageBackendOption,
  type ModelOptions,
  positiveInteger,
  withModel,
} from '../options.ts';

interface GenerateCommandOptions extends ModelOptions {
  readonly image: string;
  readonly prompt: string;
  readonly maxNewTokens: number;
}

export function generateCommand(program: Command): void {
  const command = program.command('generate').description("The model's answer on stdout, and nothing else.");
  addModelOptions(command)
    .requiredOption('--image <file>', 'a picture')
    .requiredOption('--prompt <text>', 'a question; a text that holds the image token is taken as it is')
    .option('--template <name>', 'prompt template: a name, or a text with {question}')
    .addOption(imageBackendOption())
    .option('--max-new-tokens <n>', 'longest answer', positiveInteger, 20)
    .action((options: GenerateCommandOptions) => generate(options));
}

async function generate(options: GenerateCommandOptions): Promise<void> {
  await withModel(options, async ({ model, processor }) => {
    const reader = await processor();
    const sample = reader.sample(await readImage(options.image), options.prompt, options.image);
    const [answer] = await namingNotFinite(
      model,
      () => [{ name: options.image, sample }],
      () => model.generate([sample], { maxNewTokens: options.maxNewTokens }),
    );
    console.log(reader.answer(answer?.ids ?? []));
  });
}
