import type { Command } from 'commander';
import { checkCommand } from './data/check.ts';
import { generatedCommand, selectCommand, strCommand } from './data/derived.ts';
import { attributesCommand, ferCommand, mitStatesCommand } from './data/labelled.ts';
import { svoDownloadCommand, svoProbesCommand } from './data/svo-probes.ts';

export function dataCommand(program: Command): void {
  const data = program
    .command('data')
    .description('Makes manifests (CSV) of data sets: pairs of images and prompts that an experiment reads.')
    .addHelpText(
      'after',
      `
A manifest has the columns clean_image_path, corrupt_image_path, clean_prompt, corrupt_prompt, correct_answer,
incorrect_answer, category and id; image paths are relative to its folder. Whatever a command leaves out it
counts, with the reason, and lists in NAME.drops.jsonl.

Example:
  notice data check data/scenes.csv`,
    );
  const commands = [
    svoDownloadCommand,
    svoProbesCommand,
    mitStatesCommand,
    ferCommand,
    attributesCommand,
    generatedCommand,
    strCommand,
    selectCommand,
    checkCommand,
  ];
  for (const add of commands) add(data);
}
