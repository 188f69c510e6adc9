// `--config`: a command's options from a YAML file, whose keys are the long options.
//
// What a value may be follows from the option's place holder in --help: <n> and <MiB> are numbers, <list> and <files> lists
// (or a text with commas), an option without one is true or false, anything else is text. <file>, <files>, <folder>, and
// <model> unless it is a model's id, are paths, relative to the configuration file.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type Command, InvalidArgumentError, type Option } from 'commander';
import { NoticeError } from '../errors.ts';

/** Adds `--config`. What the command line says goes before the file, the file before the defaults. */
export function addConfigOption(command: Command): Command {
  return command
    .option('--config <file>', 'options from a YAML file, named as here; the command line goes before it')
    .hook('preAction', (_, acting) => applyConfig(acting));
}

/**
 * @throws NoticeError('usage') naming file, line and key: not YAML, an unknown key, or a value of the wrong type
 */
async function applyConfig(command: Command): Promise<void> {
  const { config } = command.opts<{ config?: string }>();
  if (config === undefined) return;
  const options = new Map(command.options.map((option) => [option.name(), option]));
  options.delete('config');
  for (const { key, value, where } of await readEntries(config)) {
    const option = options.get(key);
    if (!option) {
      const keys = [...options.keys()];
      const { closest } = await import('fastest-levenshtein');
      throw new NoticeError(
        'usage',
        `${where}: there is no option "${key}"; the nearest is "${closest(key, keys)}" (all: ${keys.join(', ')})`,
      );
    }
    const parsed = parseValue(option, value, dirname(config), `${where}: ${key}`);
    const name = option.attributeName();
    const source = command.getOptionValueSource(name);
    if (source === undefined || source === 'default')
      command.setOptionValueWithSource(name, parsed, 'config');
  }
}

interface Entry {
  readonly key: string;
  readonly value: unknown;
  /** "experiment.yaml line 3" */
  readonly where: string;
}

async function readEntries(file: string): Promise<Entry[]> {
  const text = await readFile(file, 'utf8').catch((cause: Error) => {
    throw new NoticeError('usage', `--config ${file} cannot be read: ${cause.message}`, { cause });
  });
  const { isMap, isScalar, LineCounter, parseDocument } = await import('yaml');
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter });
  const [error] = document.errors;
  if (error)
    throw new NoticeError(
      'usage',
      `${file} is not valid YAML: ${error.message.split('\n')[0]?.replace(/:$/, '')}`,
      {
        cause: error,
      },
    );
  const { contents } = document;
  if (contents === null) return [];
  if (!isMap(contents))
    throw new NoticeError('usage', `${file}: expected lines of "option: value", as in "samples: 100"`);
  return contents.items.map(({ key, value }) => {
    const line = isScalar(key) && key.range ? lineCounter.linePos(key.range[0]).line : 1;
    const where = `${file} line ${line}`;
    try {
      return { key: String(key), value: value?.toJS(document), where };
    } catch (cause) {
      // An alias without its anchor, or one of too many others.
      throw new NoticeError('usage', `${where}: ${(cause as Error).message}`, { cause });
    }
  });
}

function parseValue(option: Option, value: unknown, folder: string, where: string): unknown {
  const placeHolder = /<(.+)>$/.exec(option.flags)?.[1];
  const fail = (expected: string): never => {
    const found = value === null || value === undefined ? 'nothing' : JSON.stringify(value);
    throw new NoticeError('usage', `${where}: expected ${expected}, found ${found}`);
  };
  const path = (text: string): string =>
    /^files?$|^folder$/.test(placeHolder ?? '') || (placeHolder === 'model' && isPath(text, folder))
      ? resolve(folder, text)
      : text;
  let text: string;
  switch (placeHolder) {
    case undefined:
      return typeof value === 'boolean' ? value : fail('true or false');
    case 'n':
    case 'MiB':
      text = typeof value === 'number' ? String(value) : fail('a number');
      break;
    case 'list':
    case 'files': {
      const items = typeof value === 'string' ? value.split(',').map((item) => item.trim()) : value;
      if (!Array.isArray(items) || !items.every((item) => typeof item === 'string' && !item.includes(',')))
        return fail('a list of texts without commas');
      // On the command line an empty list is the option left out.
      if (items.length === 0 && isEmptyList(option.defaultValue)) return [];
      text = items.map(path).join(',');
      break;
    }
    default:
      text = typeof value === 'string' ? path(value) : fail('a text (in quotes, if it looks like a number)');
  }
  try {
    return option.parseArg ? option.parseArg(text, undefined) : text;
  } catch (cause) {
    if (cause instanceof InvalidArgumentError)
      throw new NoticeError('usage', `${where}: ${cause.message}`, { cause });
    throw cause;
  }
}

const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

/** Whether a model is named by its folder: a path that says so, or one that exists. */
function isPath(text: string, folder: string): boolean {
  return /^[./\\~]|^[A-Za-z]:/.test(text) || existsSync(resolve(folder, text));
}
