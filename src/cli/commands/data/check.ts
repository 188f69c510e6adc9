import { realpath } from 'node:fs/promises';
import { dirname, isAbsolute, relative, sep } from 'node:path';
import type { Command } from 'commander';
import { soundImages } from '../../../notice/datasets/images.ts';
import {
  correctFirst,
  DataError,
  type Drop,
  type Encode,
  imageBoxes,
  NO_TEXT_CORRUPTION,
  noOptions,
  type Pair,
  type Problem,
  readManifest,
  textProblem,
} from '../../../notice/datasets/index.ts';
import { listDrops } from '../../../notice/datasets/report.ts';
import { optionOrderWarning, textWarning } from '../../../notice/experiment/warnings.ts';
import { withEmbedded } from '../../embedded.ts';
import { terminalTable } from '../../table.ts';
import { categoryCounts, encoderOf, TOKENIZER_HELP } from './build.ts';

export function checkCommand(data: Command): void {
  data
    .command('check <manifests...>')
    .description(
      'Reads manifests and all their images, and says what is in them and what is wrong with them.',
    )
    .option(
      '--tokenizer <model>',
      `${TOKENIZER_HELP}; corrupt prompts must replace the options token by token`,
      withEmbedded,
    )
    .addHelpText(
      'after',
      '\nThe exit status is 1 if a row cannot be used.\n\nExample:\n  notice data check data/scenes.csv --tokenizer blip-shapes',
    )
    .action((manifests: string[], options: { tokenizer?: string }) => check(manifests, options));
}

async function check(manifests: readonly string[], { tokenizer }: { tokenizer?: string }): Promise<void> {
  const encode = tokenizer === undefined ? undefined : await encoderOf(tokenizer);
  const checked: CheckedManifest[] = [];
  for (const file of manifests) checked.push(await checkManifest(file, encode));
  console.log(
    terminalTable(checked, [
      { name: 'manifest', value: ({ file }) => file },
      { name: 'rows', value: ({ rows }) => rows },
      { name: 'usable', value: ({ pairs }) => pairs.length },
      { name: 'images', value: ({ pairs }) => imagesOf(pairs).length },
      { name: 'correct option first', value: ({ pairs }) => pairs.filter(correctFirst).length },
      { name: 'with boxes', value: ({ pairs }) => pairs.filter(hasBoxes).length },
      { name: 'categories', value: ({ pairs }) => categoryCounts(pairs) },
    ]),
  );
  const outside = checked.flatMap((manifest) => manifest.outside);
  if (outside.length > 0)
    console.log(
      `\n${terminalTable(outside, [
        { name: 'image behind a link', value: ({ source }) => source },
        { name: 'outside of the folder of its manifest', value: ({ target }) => target },
      ])}`,
    );
  for (const { file, pairs } of checked)
    for (const line of [...optionOrderWarning(file, pairs), ...textWarning(file, pairs)]) console.error(line);
  const problems = checked.flatMap((manifest) => manifest.problems);
  if (problems.length > 0)
    throw new DataError(
      `${problems.length === 1 ? 'a row' : `${problems.length} rows`} cannot be used:\n${listDrops(problems, 50)}`,
      { problems },
    );
}

interface CheckedManifest {
  readonly file: string;
  readonly rows: number;
  readonly pairs: readonly Pair[];
  readonly problems: readonly Drop[];
  /** Images that a symbolic link fetches from elsewhere. */
  readonly outside: readonly LinkedImage[];
}

interface LinkedImage {
  readonly source: string;
  readonly target: string;
}

async function checkManifest(file: string, encode: Encode | undefined): Promise<CheckedManifest> {
  const { pairs, report } = await readManifest(file);
  const problems: Drop[] = [...report.drops];
  const images = imagesOf(pairs).map((image) => ({ file: image, source: image }));
  const sound = new Set((await soundImages(images, problems)).map((image) => image.file));
  const usable = pairs.filter((pair) => {
    if (!sound.has(pair.cleanImage) || !sound.has(pair.corruptImage)) return false;
    const problem = promptProblem(pair, encode);
    if (problem) problems.push({ source: `${file} ${pair.id}`, ...problem });
    return !problem;
  });
  const outside = await imagesOutside(dirname(file), imagesOf(usable));
  return { file, rows: report.read, pairs: usable, problems, outside };
}

async function imagesOutside(folder: string, images: readonly string[]): Promise<LinkedImage[]> {
  const inside = await realpath(folder);
  const outside: LinkedImage[] = [];
  for (const image of images) {
    const target = await realpath(image);
    if (relative(inside, target).split(sep)[0] === '..' || isAbsolute(relative(inside, target)))
      outside.push({ source: image, target });
  }
  return outside;
}

function promptProblem(pair: Pair, encode: Encode | undefined): Problem | undefined {
  if (correctFirst(pair) === undefined) return noOptions(pair);
  const problem = encode && textProblem(pair, encode);
  return problem?.reason === NO_TEXT_CORRUPTION ? undefined : problem;
}

const imagesOf = (pairs: readonly Pair[]): string[] => [
  ...new Set(pairs.flatMap(({ cleanImage, corruptImage }) => [cleanImage, corruptImage])),
];

const hasBoxes = ({ metadata }: Pair): boolean => imageBoxes(metadata?.clean).length > 0;
