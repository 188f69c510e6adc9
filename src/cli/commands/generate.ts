import type { Command } from 'commander';
import { namingNotFinite } from '../../patching/index.ts';
import {
  addModelOptions,
  collect,
  imageBackendOption,
  type ModelOptions,
  positiveInteger,
  readSample,
  withModel,
} from '../options.ts';

interface GenerateCommandOptions extends ModelOptions {
  readonly image: string[];
  readonly prompt: string;
  readonly maxNewTokens: number;
}

export function generateCommand(program: Command): void {
  const command = program.command('generate').description("The model's answer on stdout, and nothing else.");
  addModelOptions(command)
    .requiredOption('--image <file>', 'a picture; again for more, the n-th for the n-th image token', collect)
    .requiredOption('--prompt <text>', 'a question; a text that holds the image token is taken as it is')
    .option('--template <name>', 'prompt template: a name, or a text with {question}')
    .addOption(imageBackendOption())
    .option('--max-new-tokens <n>', 'longest answer', positiveInteger, 20)
    .addHelpText(
      'after',
      "\nExample:\n  notice generate --model blip-shapes --image clean.png --prompt 'is it a heart or ring?'",
    )
    .action((options: GenerateCommandOptions) => generate(options));
}

async function generate(options: GenerateCommandOptions): Promise<void> {
  await withModel(options, async ({ model, processor }) => {
    const reader = await processor();
    const sample = await readSample(reader, options.image, options.prompt);
    const [answer] = await namingNotFinite(
      model,
      () => [{ name: options.image.join(', '), sample }],
      () => model.generate([sample], { maxNewTokens: options.maxNewTokens }),
    );
    console.log(reader.answer(answer?.ids ?? []));
  });
}
