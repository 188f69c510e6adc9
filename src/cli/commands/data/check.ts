import type { Command } from 'commander';
import { soundImages } from '../../../notice/datasets/images.ts';
import {
  correctFirst,
  DataError,
  type Drop,
  imageBoxes,
  type Pair,
  readManifest,
} from '../../../notice/datasets/index.ts';
import { listDrops } from '../../../notice/datasets/report.ts';
import { terminalTable } from '../../table.ts';
import { categoryCounts, TOKENIZER_HELP, tokenLengthOf } from './build.ts';

export function checkCommand(data: Command): void {
  data
    .command('check <manifests...>')
    .description(
      'Reads manifests and all their images, and says what is in them and what is wrong with them.',
    )
    .option('--tokenizer <model>', `${TOKENIZER_HELP}; corrupt prompts must have as many as clean ones`)
    .addHelpText('after', '\nThe exit status is 1 if a row cannot be used.')
    .action((manifests: string[], options: { tokenizer?: string }) => check(manifests, options));
}

async function check(manifests: readonly string[], { tokenizer }: { tokenizer?: string }): Promise<void> {
  const tokenLength = tokenizer === undefined ? undefined : await tokenLengthOf(tokenizer);
  const checked: CheckedManifest[] = [];
  for (const file of manifests) checked.push(await checkManifest(file, tokenLength));
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
}

async function checkManifest(
  file: string,
  tokenLength: ((text: string) => number) | undefined,
): Promise<CheckedManifest> {
  const { pairs, report } = await readManifest(file, { invalid: 'drop' });
  const problems: Drop[] = [...report.drops];
  const images = imagesOf(pairs).map((image) => ({ file: image, source: image }));
  const sound = new Set((await soundImages(images, problems)).map((image) => image.file));
  const usable = pairs.filter((pair) => {
    if (!sound.has(pair.cleanImage) || !sound.has(pair.corruptImage)) return false;
    const problem = promptProblem(pair, tokenLength);
    if (problem) problems.push({ source: `${file} ${pair.id}`, ...problem });
    return !problem;
  });
  return { file, rows: report.read, pairs: usable, problems };
}

function promptProblem(
  pair: Pair,
  tokenLength: ((text: string) => number) | undefined,
): Omit<Drop, 'source'> | undefined {
  const { cleanPrompt, corruptPrompt, correct, incorrect } = pair;
  if (correctFirst(pair) === undefined) {
    const detail = `"${correct}" and "${incorrect}" do not stand left and right of "or" in "${cleanPrompt}"`;
    return { reason: 'option-not-in-prompt', detail };
  }
  const [clean, corrupt] = [tokenLength?.(cleanPrompt), tokenLength?.(corruptPrompt)];
  if (clean === corrupt) return undefined;
  const detail = `"${cleanPrompt}" has ${clean} tokens, "${corruptPrompt}" ${corrupt}`;
  return { reason: 'token-length', detail };
}

const imagesOf = (pairs: readonly Pair[]): string[] => [
  ...new Set(pairs.flatMap(({ cleanImage, corruptImage }) => [cleanImage, corruptImage])),
];

const hasBoxes = ({ metadata }: Pair): boolean => imageBoxes(metadata?.clean).length > 0;
