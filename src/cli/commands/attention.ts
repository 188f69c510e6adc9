// `notice attention`: where heads look on one's own picture.

import { type Command, InvalidArgumentError } from 'commander';
import type { Box } from '../../analysis/patch-grid.ts';
import { headLabel } from '../../analysis/universal-heads.ts';
import { NoticeError } from '../../errors.ts';
import { findPhrase, type RgbImage } from '../../inputs/index.ts';
import type { Processor, VisionLanguageModel } from '../../models/index.ts';
import { type Drawing, figureSvg } from '../../notice/plots/figure.ts';
import { overlayFigure } from '../../notice/plots/overlay.ts';
import { renderPng } from '../../notice/plots/png.ts';
import { inView } from '../../notice/plots/view.ts';
import {
  type AttentionMap,
  attentionMapOf,
  attentionToImage,
  type HeadId,
  type SampleAttention,
} from '../../patching/index.ts';
import { readImage } from '../../platform/node/images.ts';
import { writeWhole } from '../../platform/node/whole-file.ts';
import {
  addModelOptions,
  imageBackendOption,
  list,
  type ModelOptions,
  positiveInteger,
  withModel,
} from '../options.ts';
import { terminalTable } from '../table.ts';
import { checkOutput } from '../tensors.ts';

/** Pictures of a row of the figure. */
const ROW = 6;

interface AttentionCommandOptions extends ModelOptions {
  readonly image: string;
  readonly prompt: string;
  readonly from?: string;
  readonly attention?: string;
  readonly heads?: HeadId[] | 'all';
  readonly strongest: number;
  readonly minusMean?: boolean;
  readonly box?: Box;
  readonly out?: string;
}

export function attentionCommand(program: Command): void {
  const command = program
    .command('attention')
    .description(
      'Where heads look on a picture: their attention from a word of the question, drawn over it.',
    );
  addModelOptions(command)
    .requiredOption('--image <file>', 'a picture')
    .requiredOption('--prompt <text>', 'the question')
    .option(
      '--from <what>',
      'a word of the question, or positions, comma-separated (default the last position)',
    )
    .option(
      '--attention <name>',
      'whose, for example text_encoder.cross_attn (default that which reads the image)',
    )
    .option('--heads <list>', 'all, or block.head, comma-separated: 3.1,5.0 (default the strongest)', heads)
    .option('--strongest <n>', 'how many of those that attend most to one patch', positiveInteger, ROW)
    .option('--minus-mean', 'minus the mean of all heads, as in the paper')
    .option('--box <list>', 'left, top, right, bottom in pixels: how much of the attention lies inside', box)
    .option('--template <name>', 'prompt template: a name, or a text with {question}')
    .addOption(imageBackendOption())
    .option('--out <file>', 'figure to write, .png or .svg')
    .addHelpText(
      'after',
      '\nExample:\n  notice attention --model weights/blip-shapes --image data/scenes/002_clean.png \\\n' +
        '    --prompt "is the triangle inside the heart or ring?" --from heart --out heads.png',
    )
    .action((options: AttentionCommandOptions) => attention(options));
}

async function attention(options: AttentionCommandOptions): Promise<void> {
  const { image, prompt, out, minusMean = false } = options;
  if (out !== undefined) {
    if (!/\.(png|svg)$/i.test(out))
      throw new NoticeError('usage', `--out ${out}: expected a name that ends in .png or .svg`);
    await checkOutput(out);
  }
  await withModel(options, async ({ model, processor: open }) => {
    const processor = await open();
    const picture = await readImage(image);
    const sample = processor.sample(picture, prompt, image);
    const from = positionsOf(model, processor, options, sample.images, sample.ids.length);
    const seen = await attentionToImage(model, sample, { attention: options.attention, from });
    const chosen = chosenHeads(seen, options);
    const maps = chosen.map((head) => ({
      head,
      map: attentionMapOf(seen, { head, minusMean, ...(options.box && { box: { box: options.box } }) }),
    }));
    console.log(
      terminalTable(maps, [
        { name: 'head', value: ({ head }) => headLabel(head) },
        { name: 'on the image', value: ({ map }) => map.imageMass, digits: 3 },
        { name: 'entropy', value: ({ map }) => map.entropy, digits: 3 },
        ...(options.box
          ? [
              {
                name: 'in the box',
                value: ({ map }: { map: AttentionMap }) => map.inside as number,
                digits: 3,
              },
              {
                name: 'by chance',
                value: ({ map }: { map: AttentionMap }) => map.chance as number,
                digits: 3,
              },
            ]
          : []),
      ]),
    );
    if (out === undefined) return;
    const name = options.attention ?? model.imageAttention;
    const svg = figureSvg(await figure(picture, maps, { ...options, title: `${name}: where heads look` }));
    await writeWhole(out, [/\.svg$/i.test(out) ? new TextEncoder().encode(svg) : renderPng(svg)]);
    console.log(`${maps.length} heads → ${out}`);
  });
}

/**
 * The positions that attend: of a word, as the numbers say, or the last one.
 *
 * @throws NoticeError('text') for a word that is not in the question
 */
function positionsOf(
  model: VisionLanguageModel,
  processor: Processor,
  { from, prompt, attention }: AttentionCommandOptions,
  images: Parameters<Processor['prompt']>[1],
  length: number,
): number[] | undefined {
  if (from === undefined)
    return (attention ?? model.imageAttention).startsWith(`${model.promptTower}.`) ? [length - 1] : undefined;
  if (/^[\d,\s]+$/.test(from)) return list(from).map(Number);
  const { encoded, positions } = processor.prompt(prompt, images);
  const { start, end } = findPhrase(encoded, from, 'only');
  return positions.slice(start, end);
}

/** What the figure and the table show. */
function chosenHeads(
  seen: SampleAttention,
  { heads, strongest }: AttentionCommandOptions,
): readonly HeadId[] {
  if (typeof heads === 'object') return heads;
  const all = seen.blocks.flatMap((layer) =>
    Array.from({ length: seen.heads }, (_, head) => ({ layer, head })),
  );
  if (heads === 'all') return all;
  const largest = (at: number) => Math.max(...seen.data.subarray(at * seen.patches, (at + 1) * seen.patches));
  return all
    .map((head, at) => ({ head, most: largest(at) }))
    .sort((a, b) => b.most - a.most)
    .slice(0, strongest)
    .map(({ head }) => head);
}

interface Seen {
  readonly head: HeadId;
  readonly map: AttentionMap;
}

/** The heads' maps over the picture, on its finest grid. */
function figure(
  picture: RgbImage,
  maps: readonly Seen[],
  { title, prompt, from, minusMean, box, model }: AttentionCommandOptions & { readonly title: string },
): Promise<Drawing> {
  const finest = ({ grids }: AttentionMap) =>
    grids.reduce((best, grid) => (grid.data.length > best.data.length ? grid : best));
  const whole: Box = [0, 0, picture.width, picture.height];
  const rows = Array.from({ length: Math.ceil(maps.length / ROW) }, (_, i) =>
    maps.slice(i * ROW, (i + 1) * ROW),
  );
  return overlayFigure({
    title,
    subtitle: `${model}, from ${from ?? 'the last position'}`,
    caption: minusMean
      ? 'Attention minus the mean over all heads of all layers.'
      : 'Attention to each patch.',
    n: 1,
    label: minusMean ? 'attention − average head' : 'attention',
    rows: rows.map((row) => {
      const [first] = row as [Seen];
      const view = inView(picture, finest(first.map).box ?? whole, box);
      return {
        image: view.image,
        label: prompt,
        ...(view.box && { box: view.box }),
        overlays: row.map(({ head, map }) => ({ title: headLabel(head), grid: finest(map) })),
      };
    }),
  });
}

function heads(text: string): HeadId[] | 'all' {
  if (text === 'all') return 'all';
  return list(text).map((item) => {
    const [, layer, head] = /^(\d+)\.(\d+)$/.exec(item) ?? [];
    if (layer === undefined)
      throw new InvalidArgumentError(`"${item}" is not a head; expected "all" or block.head, as in 3.1.`);
    return { layer: Number(layer), head: Number(head) };
  });
}

function box(text: string): Box {
  const sides = list(text).map(Number);
  const [left = 0, top = 0, right = 0, bottom = 0] = sides;
  if (sides.length !== 4 || !sides.every(Number.isFinite) || left >= right || top >= bottom)
    throw new InvalidArgumentError(`"${text}" is not a box; expected left,top,right,bottom in pixels.`);
  return [left, top, right, bottom];
}
