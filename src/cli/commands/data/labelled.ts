// Data sets of labelled images: MIT-States, FER-2013, and any other.

import { type Command, InvalidArgumentError, Option } from 'commander';
import { NoticeError } from '../../../errors.ts';
import {
  type AttributedImage,
  buildAttributePairs,
  buildFer,
  buildMitStates,
  extractFer,
  type MitStatesOptions,
  readLabelledFolder,
  readLabelledTable,
  readStateVectors,
} from '../../../notice/datasets/index.ts';
import { list } from '../../options.ts';
import {
  addBuildOptions,
  type BuildCommandOptions,
  buildOptions,
  withoutExtension,
  writeBuild,
} from './build.ts';

interface ImagesOptions extends BuildCommandOptions {
  readonly images: string;
}

interface MitStatesCommandOptions extends ImagesOptions {
  readonly word2vec?: string;
  readonly similarity?: number;
}

export function mitStatesCommand(data: Command): void {
  const command = data
    .command('mit-states')
    .description('Pairs of MIT-States: the same noun in two states that are not similar.')
    .requiredOption('--images <folder>', 'its images, in folders named "adjective noun"');
  addBuildOptions(command)
    .option(
      '--word2vec <file>',
      'word vectors (word2vec binary), to exclude also states that are close in them',
    )
    .option('--similarity <cosine>', 'from this cosine similarity on states are similar (-1 to 1)', cosine)
    .addHelpText(
      'after',
      `
Example: notice data mit-states --images data/mit-states --out data/mit-states.csv --tokenizer Salesforce/blip-vqa-base
Similar states ("small", "tiny") are excluded by a table of groups, with --word2vec also by cosine similarity.`,
    )
    .action((options: MitStatesCommandOptions) => mitStates(options));
}

async function mitStates(options: MitStatesCommandOptions): Promise<void> {
  const similarity = await wordSimilarity(options);
  const built = await buildMitStates(options.images, { ...(await buildOptions(options)), ...similarity });
  await writeBuild(options.out, built, 'images');
}

async function wordSimilarity({
  word2vec,
  similarity: threshold,
}: MitStatesCommandOptions): Promise<Pick<MitStatesOptions, 'similarity'>> {
  if (!word2vec && threshold === undefined) return {};
  if (!word2vec || threshold === undefined)
    throw new NoticeError('usage', '--word2vec and --similarity need each other');
  return { similarity: { vectors: await readStateVectors(word2vec), threshold } };
}

interface FerCommandOptions extends ImagesOptions {
  readonly csv?: string;
  readonly counterparts: 'opposing' | 'any';
}

export function ferCommand(data: Command): void {
  const command = data
    .command('fer')
    .description('Pairs of FER-2013: two faces with different emotions.')
    .requiredOption(
      '--images <folder>',
      'its images, in folders named by emotion; with --csv they are written here',
    )
    .option('--csv <file>', 'fer2013.csv (emotion,pixels,Usage), to take the faces from first');
  addBuildOptions(command)
    .addOption(
      new Option('--counterparts <which>', 'emotion of the corrupt face: of opposing sentiment, or any other')
        .choices(['opposing', 'any'])
        .default('opposing'),
    )
    .addHelpText(
      'after',
      `
Example: notice data fer --csv fer2013.csv --images data/fer --out data/fer.csv --tokenizer Salesforce/blip-vqa-base
"any" is what the paper's released code does; "opposing" (happy against all others) is what the paper says.`,
    )
    .action((options: FerCommandOptions) => fer(options));
}

async function fer(options: FerCommandOptions): Promise<void> {
  const { csv, images, counterparts, out } = options;
  const build = await buildOptions(options);
  const extracted = csv === undefined ? undefined : await extractFer(csv, images);
  if (extracted) console.log(`${extracted.kept} faces of ${extracted.read} rows in ${images}`);
  const { pairs, report } = await buildFer(images, { ...build, counterparts });
  const drops = [...(extracted?.drops ?? []), ...report.drops];
  await writeBuild(out, { pairs, report: { ...report, drops } }, 'images');
}

interface AttributesCommandOptions extends ImagesOptions {
  readonly attributes: string[];
  readonly ask: Readonly<Record<string, string>>;
  readonly standIns: Readonly<Record<string, readonly string[]>>;
  readonly str: boolean;
  readonly csv?: string;
  readonly imageColumn: string;
  readonly name?: string;
}

export function attributesCommand(data: Command): void {
  const command = data
    .command('attributes')
    .description('Pairs of any labelled images: two that differ in exactly one attribute.')
    .requiredOption('--images <folder>', 'images, in folders named by attribute values, or listed in --csv')
    .requiredOption(
      '--attributes <list>',
      'names of the folder levels, or columns of --csv, that are attributes',
      list,
    )
    .requiredOption(
      '--ask <attribute=question>',
      'question for an attribute, with {options} in it; {name} is the value of another; may be repeated',
      question,
    )
    .option(
      '--csv <file>',
      'table with a column of image paths, relative to --images, and one for each attribute',
    )
    .option('--image-column <name>', "the paths' column in --csv", 'image')
    .option(
      '--stand-ins <attribute=words>',
      "words, comma-separated, that may replace an attribute's values in corrupt prompts beside its other values; may be repeated",
      standIns,
      {},
    )
    .option('--no-str', 'pairs without text corruption: their corrupt prompt is the clean one')
    .option('--name <text>', "begins the pairs' ids (default the manifest's name)");
  addBuildOptions(command)
    .addHelpText(
      'after',
      `
Example, for images like data/toys/red/round ball/3.jpg:
  notice data attributes --images data/toys --attributes color,shape --ask 'color=Is the {shape} {options}?' \\
    --out data/toys.csv --tokenizer Salesforce/blip-vqa-base
asks "Is the round ball red or blue?" of each image for which another differs in its color alone.`,
    )
    .action((options: AttributesCommandOptions) => attributes(options));
}

async function attributes(options: AttributesCommandOptions): Promise<void> {
  const { images: folder, csv, imageColumn, attributes: names, ask, standIns: words, str, out } = options;
  const unasked = Object.keys(words).find((name) => !(name in ask));
  if (unasked !== undefined)
    throw new NoticeError('usage', `--stand-ins ${unasked}=…: there is no --ask ${unasked}=…`);
  const build = await buildOptions(options);
  const { images, report } = csv
    ? await readLabelledTable(csv, folder, { image: imageColumn, attributes: names })
    : await readLabelledFolder(folder, names);
  const name = options.name ?? withoutExtension(out).replace(/^.*[/\\]/, '');
  if (str) for (const attribute of Object.keys(ask)) warnOfFewWords(images, attribute, words[attribute]);
  const built = buildAttributePairs(images, { ...build, name, prompts: ask, standIns: words, str });
  const drops = [...report.drops, ...built.report.drops];
  await writeBuild(out, { pairs: built.pairs, report: { ...report, drops } }, 'images');
}

/** A question names two values; its corrupt prompt needs two others. */
function warnOfFewWords(
  images: readonly AttributedImage[],
  attribute: string,
  more: readonly string[] = [],
): void {
  const words = new Set([...images.map(({ attributes: { [attribute]: value = '' } }) => value), ...more]);
  if (words.size >= 4) return;
  console.error(
    `${attribute}: ${words.size} words (${[...words].sort().join(', ')}), but corrupt prompts need two beside the two options. ` +
      `Name more with --stand-ins ${attribute}=word,word, or make pairs without text corruption with --no-str.`,
  );
}

/** Collects `attribute=word,word`. */
function standIns(
  text: string,
  previous: Readonly<Record<string, readonly string[]>>,
): Readonly<Record<string, readonly string[]>> {
  const [, attribute, words] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
  if (attribute === undefined || words === undefined)
    throw new InvalidArgumentError('expected attribute=word,word.');
  return { ...previous, [attribute]: [...(previous[attribute] ?? []), ...list(words)] };
}

/** Collects `attribute=question`. */
function question(
  text: string,
  previous: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const [, attribute, asked] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
  if (attribute === undefined || asked === undefined)
    throw new InvalidArgumentError('expected attribute=question.');
  if (attribute in previous) throw new InvalidArgumentError(`there are two questions for "${attribute}".`);
  return { ...previous, [attribute]: asked };
}

function cosine(text: string): number {
  const value = Number(text);
  if (!(value >= -1 && value <= 1)) throw new InvalidArgumentError('expected a number from -1 to 1.');
  return value;
}
