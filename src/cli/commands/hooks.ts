import type { Command } from 'commander';
import { hooks, selectHooks } from '../../patching/index.ts';
import { addModelOptions, list, type ModelOptions, withModel } from '../options.ts';

export function hooksCommand(program: Command): void {
  const command = program
    .command('hooks')
    .description('Every hook point with its shape and the module of transformers that it equals.');
  addModelOptions(command)
    .option('--names <globs>', 'which, comma-separated globs (default all)', list)
    .addHelpText('after', "\nExample:\n  notice hooks --model blip-shapes --names 'text_encoder.*.hook_z'")
    .action((options: ModelOptions & { names?: string[] }) =>
      withModel(options, async ({ model }) => {
        const names = selectHooks(model, options.names ?? (() => true));
        const rows = hooks(model, { derived: true }).filter(({ name }) => names.has(name));
        const shapes = rows.map(({ shape }) => `[${shape.join(', ')}]`);
        const widths = [
          Math.max(...rows.map(({ name }) => name.length)),
          Math.max(...shapes.map((s) => s.length)),
        ];
        rows.forEach(({ name, module }, i) => {
          console.log(
            `${name.padEnd(widths[0] ?? 0)}  ${(shapes[i] ?? '').padEnd(widths[1] ?? 0)}  ${module}`,
          );
        });
      }),
    );
}
