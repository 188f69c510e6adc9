// Manifests from manifests.

import type { Command } from 'commander';
import {
  type BuildReport,
  type BuildResult,
  categoryPool,
  corruptPrompts,
  readManifest,
  selectBalanced,
  withGeneratedImages,
} from '../../../notice/datasets/index.ts';
import { integer, positiveInteger } from '../../options.ts';
import {
  addBuildOptions,
  addOutOption,
  type BuildCommandOptions,
  buildOptions,
  type OutOption,
  writeBuild,
} from './build.ts';

interface DataOption {
  readonly data: string;
}

interface GeneratedOptions extends DataOption, OutOption {
  readonly images: string;
}

export function generatedCommand(data: Command): void {
  const command = data
    .command('generated')
    .description('A manifest with generated images in place of its corrupt ones (paper, Appendix D).')
    .requiredOption('--data <file>', 'manifest to take the pairs from')
    .requiredOption(
      '--images <folder>',
      "generated images, named by the pair's id or by the image they stand for",
    );
  addOutOption(command)
    .addHelpText(
      'after',
      `
Example: notice data generated --data data/mit-states.csv --images data/inpainted --out data/mit-states-generated.csv`,
    )
    .action(async ({ data: file, images, out }: GeneratedOptions) => {
      const { pairs, report } = await readManifest(file);
      await writeBuild(out, after(report, await withGeneratedImages(pairs, images)), 'pairs');
    });
}

export function strCommand(data: Command): void {
  const command = data
    .command('str')
    .description(
      "A manifest with its corrupt prompts drawn anew, for another model's tokenizer or another seed.",
    )
    .requiredOption('--data <file>', 'manifest to take the pairs from');
  addBuildOptions(command)
    .addHelpText(
      'after',
      `
Example: notice data str --data data/scenes.csv --out data/scenes-llava.csv --tokenizer llava-hf/llava-1.5-7b-hf
Stand-ins come from all options of the pair's category and keep the number of tokens.`,
    )
    .action(async (options: BuildCommandOptions & DataOption) => {
      const { pairs, report } = await readManifest(options.data);
      const pool = categoryPool(pairs);
      const built = corruptPrompts(pairs, { ...(await buildOptions(options)), pool });
      await writeBuild(options.out, after(report, built), 'pairs');
    });
}

interface SelectCommandOptions extends DataOption, OutOption {
  readonly n: number;
  readonly seed: number;
  readonly perCategory?: boolean;
  readonly fewer?: boolean;
}

export function selectCommand(data: Command): void {
  const command = data
    .command('select')
    .description('A manifest with n of its pairs, half of which name the correct option first.')
    .requiredOption('--data <file>', 'manifest to take the pairs from')
    .requiredOption('--n <n>', 'number of pairs', positiveInteger)
    .option('--per-category', 'n pairs of each category')
    .option('--fewer', 'take as many as stay balanced where there are not enough');
  addOutOption(command)
    .option('--seed <n>', 'seed of the draw', integer, 0)
    .addHelpText(
      'after',
      '\nExample:\n  notice data select --data data/scenes.csv --n 20 --out data/scenes-20.csv',
    )
    .action(async ({ data: file, out, n, seed, perCategory, fewer }: SelectCommandOptions) => {
      const { pairs, report } = await readManifest(file);
      const selected = selectBalanced(pairs, {
        n,
        seed,
        ...(perCategory ? { perCategory } : {}),
        short: fewer ? 'fewer' : 'error',
      });
      await writeBuild(out, after(report, selected), 'pairs');
    });
}

/** What was made of a manifest's pairs, with the rows that gave none. */
function after({ read, drops }: BuildReport, built: BuildResult): BuildResult {
  return { ...built, report: { ...built.report, read, drops: [...drops, ...built.report.drops] } };
}
