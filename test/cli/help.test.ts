// What --help says of every command: an example that the command takes, what must be given, defaults of any machine.

import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { program } from '../../src/cli/main.ts';
import { ROOT } from './support.ts';

/** All commands by their names, "data check". */
function commandsOf(command: Command, path: readonly string[] = []): [name: string, command: Command][] {
  return command.commands.flatMap((child) => {
    const own = [...path, child.name()];
    return [[own.join(' '), child] as [string, Command], ...commandsOf(child, own)];
  });
}

function helpOf(command: Command): string {
  let help = '';
  command.configureOutput({
    writeOut: (text) => {
      help += text;
    },
  });
  command.outputHelp();
  return help;
}

/** The words of the first call of a command in a text, as a shell splits them. */
function exampleIn(help: string, name: string): string[] | undefined {
  const text = help.replace(/\\\n\s*/g, ' ');
  if (new RegExp(`^ +notice ${name}$`, 'm').test(text)) return []; // it needs no more
  const [, line] = new RegExp(`notice ${name} ((?!\\[options\\]).*)`).exec(text) ?? [];
  if (line === undefined) return undefined;
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, a, b, c]) => (a ?? b ?? c) as string);
}

describe.each(commandsOf(program()))('%s', (name, command) => {
  const help = helpOf(command);

  test('has an example that it takes', () => {
    const words = exampleIn(help, name) ?? exampleIn(help, `${name} \\S+`);
    expect(words, help).toBeDefined();
    if (command.commands.length > 0) return;
    expect(command.parseOptions(words as string[]).unknown).toEqual([]);
    for (const { mandatory, long } of command.options) if (mandatory) expect(words).toContain(long);
  });

  test('marks what must be given', () => {
    const text = help.replace(/\s+/g, ' ');
    for (const { flags, mandatory, description } of command.options)
      expect(text.includes(`${flags} ${description} (required`), flags).toBe(mandatory);
  });

  test('names no path of this machine', () => expect(help).not.toContain(ROOT));
});

test('defaults are short', () => {
  const help = helpOf(program().commands.find((command) => command.name() === 'run') as Command);
  expect(help).toMatch(/\(default: blip-shapes\)/);
  expect(help.replace(/\s+/g, ' ')).toMatch(/\(default: scenes, states, faces, which are embedded\)/);
  expect(help).toMatch(/default:\s+sip,str\)/);
});
