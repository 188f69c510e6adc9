// What the commands of `notice data` share: their options, the tokenizer, and what they write and print.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { NoticeError } from '../../../errors.ts';
import { Tokenizer } from '../../../inputs/index.ts';
import {
  type BuildOptions,
  type BuildResult,
  countDrops,
  DataError,
  type Drop,
  type Encode,
  type Pair,
  writeDrops,
  writeManifest,
} from '../../../notice/datasets/index.ts';
import { resolveModel } from '../../../platform/node/hub/index.ts';
import { EMBEDDED_MODEL, withEmbedded } from '../../embedded.ts';
import { integer } from '../../options.ts';
import { terminalTable } from '../../table.ts';

export interface OutOption {
  readonly out: string;
}

export interface BuildCommandOptions extends OutOption {
  readonly seed: number;
  readonly tokenizer?: string;
}

export const TOKENIZER_HELP = 'model whose tokenizer counts tokens: a folder, or the id of a pulled model';

/** `--out`, of every command that writes a manifest. */
export function addOutOption(command: Command): Command {
  return command.requiredOption(
    '--out <file>',
    'manifest to write (.csv), in a folder above the images; metadata (.jsonl) and drops (.drops.jsonl) go beside it',
    csvFile,
  );
}

/** Options of every command that draws counterparts and replaced options. */
export function addBuildOptions(command: Command): Command {
  return addOutOption(command)
    .option('--tokenizer <model>', `${TOKENIZER_HELP} (default the embedded one)`, withEmbedded)
    .option('--seed <n>', 'seed of every draw', integer, 0);
}

/** Seed and tokenizer; says on stderr if these are the embedded model's. */
export async function buildOptions({ seed, tokenizer }: BuildCommandOptions): Promise<BuildOptions> {
  if (!tokenizer)
    console.error(
      'Token lengths are those of the embedded model, whose vocabulary is tiny. ' +
        'To run another model on the manifest, name it with --tokenizer.',
    );
  return { seed, encode: await encoderOf(tokenizer ?? EMBEDDED_MODEL) };
}

/**
 * The tokens that a model makes of a text.
 *
 * @param model a folder, or the id of a pulled model
 * @throws NoticeError('config')
 */
export async function encoderOf(model: string): Promise<Encode> {
  const { folder } = await resolveModel(model);
  const text = (file: string) => readFile(join(folder, file), 'utf8').catch(() => undefined);
  const files = { tokenizer: await text('tokenizer.json'), config: await text('tokenizer_config.json') };
  try {
    const loaded = Tokenizer.load(files);
    return (prompt) => loaded.encodeWithRanges(prompt);
  } catch (cause) {
    throw new NoticeError('config', `${folder}: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Writes the drops, then the manifest with its metadata, and prints what was kept and what was not.
 *
 * @param what of `report.read`: "images", "rows"
 * @throws DataError if there are no pairs
 */
export async function writeBuild(
  out: string,
  { pairs, report }: BuildResult,
  what: 'images' | 'rows' | 'pairs',
): Promise<void> {
  const log = `${withoutExtension(out)}.drops.jsonl`;
  await writeDrops(log, report.drops);
  printDrops(report.drops);
  if (pairs.length === 0)
    throw new DataError(`${report.read} ${what} gave no pair, so ${out} was not written. ${log} says why.`);
  await writeManifest(out, pairs);
  console.log(`${report.read} ${what} → ${pairs.length} pairs in ${out}: ${categoryCounts(pairs)}`);
  if (report.drops.length > 0) console.log(`${report.drops.length} dropped, each with its reason in ${log}`);
}

/** One line for each reason, with the first drop as an example; nothing without drops. */
export function printDrops(drops: readonly Drop[]): void {
  if (drops.length === 0) return;
  const rows = Object.entries(countDrops(drops)).map(([reason, count]) => {
    const { source = '', detail = '' } = drops.find((drop) => drop.reason === reason) ?? {};
    return { reason, count, example: shortened(`${source}: ${detail}`) };
  });
  const table = terminalTable(rows, [
    { name: 'dropped because', value: ({ reason }) => reason },
    { name: 'count', value: ({ count }) => count },
    { name: 'for example', value: ({ example }) => example },
  ]);
  console.log(`${table}\n`);
}

/** "color 12, shape 9", in alphabetical order. */
export function categoryCounts(pairs: readonly Pair[]): string {
  const counts = new Map<string, number>();
  for (const { category } of pairs) counts.set(category, (counts.get(category) ?? 0) + 1);
  return [...counts]
    .sort()
    .map(([category, count]) => `${category} ${count}`)
    .join(', ');
}

export function withoutExtension(csv: string): string {
  return csv.replace(/\.csv$/i, '');
}

function csvFile(text: string): string {
  if (!/.\.csv$/i.test(text)) throw new InvalidArgumentError('expected a file name that ends in .csv.');
  return text;
}

/** Of a line that would break the table on a usual terminal. */
function shortened(text: string, most = 110): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
