// The command line. Every command is a file in commands/; errors end here.

import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { NoticeError } from '../errors.ts';
import { attentionCommand } from './commands/attention.ts';
import { benchCommand } from './commands/bench.ts';
import { dataCommand } from './commands/data.ts';
import { demoCommand } from './commands/demo.ts';
import { devicesCommand } from './commands/devices.ts';
import { evaluateCommand } from './commands/evaluate.ts';
import { explorerCommand } from './commands/explorer.ts';
import { generateCommand } from './commands/generate.ts';
import { hooksCommand } from './commands/hooks.ts';
import { inpaintCommand } from './commands/inpaint.ts';
import { knockoutCommand } from './commands/knockout.ts';
import { mergeCommand } from './commands/merge.ts';
import { planCommand } from './commands/plan.ts';
import { pullCommand } from './commands/pull.ts';
import { reportCommand } from './commands/report.ts';
import { reproduceCommand } from './commands/reproduce.ts';
import { runCommand } from './commands/run.ts';
import { submitCommand } from './commands/submit.ts';
import { sweepCommand } from './commands/sweep.ts';
import { traceCommand } from './commands/trace.ts';
import { describeOption } from './help.ts';
import { watchOutput } from './output.ts';
import { INTERRUPTED_STATUS } from './preemption.ts';
import { stopBars } from './progress.ts';

/** Exit status of a mistake in the command line itself, as usual in Unix. */
const USAGE_STATUS = 2;

export function program(): Command {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const command = new Command('notice')
    .description('Activation patching for vision-language models on WebGPU.')
    .version(version)
    .option('--debug', 'show the stack trace of an error')
    .configureHelp({ optionDescription: describeOption })
    .showHelpAfterError('(see --help)')
    .exitOverride();
  const commands = [
    demoCommand,
    runCommand,
    reportCommand,
    mergeCommand,
    submitCommand,
    reproduceCommand,
    evaluateCommand,
    dataCommand,
    pullCommand,
    traceCommand,
    sweepCommand,
    knockoutCommand,
    attentionCommand,
    inpaintCommand,
    planCommand,
    generateCommand,
    hooksCommand,
    devicesCommand,
    benchCommand,
    explorerCommand,
  ];
  for (const add of commands) add(command);
  for (const child of command.commands) child.exitOverride();
  return command;
}

/** Runs a command line; sets the process's exit status. */
export async function run(argv: readonly string[]): Promise<void> {
  const command = program();
  watchOutput();
  let status = 0;
  try {
    await command.parseAsync([...argv]);
  } catch (error) {
    stopBars();
    status = report(error, argv.includes('--debug'));
  }
  stopBars();
  process.exitCode = status || process.exitCode || 0;
}

function report(error: unknown, debug: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_STATUS;
  const known = error instanceof NoticeError;
  const message = printable(error instanceof Error ? error.message : String(error));
  // The system's own words say what is wrong, and mostly with which file.
  const explained = known || (error instanceof Error && 'syscall' in error);
  if (debug) console.error(error);
  else if (explained) console.error(`notice: ${message}`);
  else console.error(`notice: ${message}\nThis is unexpected; --debug shows where it comes from.`);
  if (known && (error.code === 'interrupted' || error.code === 'unfinished')) return INTERRUPTED_STATUS;
  return known && error.code === 'usage' ? USAGE_STATUS : 1;
}

/** Messages quote files, and what a file holds must not steer the terminal. */
function printable(message: string): string {
  return message.replace(/[^\P{C}\n\t]/gu, '\ufffd');
}
