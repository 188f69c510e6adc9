// Attention knock-out (Geva et al. 2023, section 4; for LLaVA Zhang et al. 2024): what a model answers when some positions do not
// see some others, and what it answers when its text does not see the image.

import { checkFields, checkFlag, checkList, checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import { type Sample, type SampleInput, samplesOf, type VisionLanguageModel } from '../models/index.ts';
import { chosenBlocks } from './blocks.ts';
import { cut, type Intervention } from './intervention.ts';
import { parseSite } from './names.ts';
import { RUN_FIELDS, type RunOptions, runWithHooks } from './run.ts';

/** Edges of an attention. */
export interface Edges {
  /**
   * Keys, where information comes from: positions of the tower, of cross-attention those of the tower that it reads. `'image'` are
   * all that are features of the sample's images.
   */
  readonly from: readonly number[] | 'image';
  /** Queries, where it goes to; default all, in generation new tokens, too. */
  readonly to?: readonly number[] | undefined;
  /**
   * Its hook points without block and `hook_…`: `text_encoder.cross_attn`, `language.attn`, `vision.attn`. Default the self-attention
   * that reads the prompt, with `from: 'image'` the one that reads the image (`model.imageAttention`).
   */
  readonly attention?: string | undefined;
  /** Blocks; default all that have this attention. */
  readonly layers?: readonly number[] | undefined;
  /** Query heads; default all. */
  readonly heads?: readonly number[] | undefined;
  /** With `to`, in generation: new tokens are cut off from these keys, too. */
  readonly newTokens?: boolean | undefined;
}

const FIELDS = ['from', 'to', 'attention', 'layers', 'heads', 'newTokens', 'run'];
const KNOCKOUT_FIELDS = ['from', 'to', 'attention', 'layers', 'heads', ...RUN_FIELDS];

/**
 * Interventions that cut edges, one for each block: for `runWithHooks`, `runWithCache`, `generateWithHooks` and all that take
 * interventions, together with any others.
 *
 * @param sample whose image `from: 'image'` means
 * @param edges `run` is the row of the batch that they are cut in; default all
 * @throws NoticeError('hook') for an attention or a block that does not exist, ('usage') for what the types forbid, ('image') if
 *   the sample's images have no keys there
 */
export function cutEdges(
  model: VisionLanguageModel,
  sample: SampleInput,
  edges: Edges & { readonly run?: number | undefined },
): Intervention[] {
  checkFields(edges, 'edges', FIELDS);
  const { from, to, layers, heads, newTokens = false, run } = edges;
  const attention = attentionOf(model, edges);
  if (from !== 'image') checkList(from, 'from');
  if (to !== undefined) checkList(to, 'to');
  if (run !== undefined) checkWhole(run, 'run');
  checkFlag(newTokens, 'newTokens');
  const keys = from === 'image' ? imageKeys(model, sample, attention) : from;
  return hooksOf(model, attention, layers).map((hook) =>
    cut({
      hook,
      ...(run !== undefined && { run }),
      ...(keys !== 'all' && { keys }),
      ...(to && { positions: to }),
      ...(heads && { heads }),
      ...(newTokens && { newTokens }),
    }),
  );
}

/**
 * Attention knock-out: a forward pass without some edges. A query that has no key left attends to nothing: its pattern is 0 and
 * its z is 0 (of the attention's output the bias remains).
 *
 * @param options the edges, and `interventions` and `hooks` that are at work besides
 * @returns logits of the answer's first position, per sample [vocabulary]
 * @throws NoticeError('unfired') if there are no such edges (a causal tower has none from later to earlier positions); as
 *   {@link cutEdges} and {@link runWithHooks}
 */
export async function knockout(
  model: VisionLanguageModel,
  samples: readonly SampleInput[],
  options: Omit<Edges, 'newTokens'> & RunOptions,
): Promise<Float32Array[]> {
  checkFields(options, 'the options', KNOCKOUT_FIELDS);
  const { from, to, attention, layers, heads, interventions = [], ...others } = options;
  const edges = { from, to, attention, layers, heads };
  const given = samplesOf(samples);
  const cuts = given.flatMap((sample, run) => cutEdges(model, sample, { ...edges, run }));
  return runWithHooks(model, given, { ...others, interventions: [...cuts, ...interventions] });
}

/**
 * The corruption `no-image`: the text does not see the image, and all positions stay, so that cells of the two runs correspond.
 *
 * Where features of the image stand in the prompt, every edge from one of them to a position that is none is cut, in all
 * blocks and heads, of new tokens, too. The features' own positions are computed as ever, and nobody else reads them. Where
 * cross-attention reads the image, all its edges are cut, and it adds nothing, not even its output's bias. The vision tower is
 * as it was.
 *
 * @param options `run` is the row of the batch; default all
 * @throws NoticeError('image') if the sample has no image there
 */
export function noImage(
  model: VisionLanguageModel,
  sample: SampleInput,
  { run }: { readonly run?: Intervention['run'] | undefined } = {},
): Intervention[] {
  const [{ ids }] = samplesOf([sample]) as [Sample];
  const keys = imageKeys(model, sample, model.imageAttention);
  const of = run === undefined ? {} : { run };
  return hooksOf(model, model.imageAttention).map((hook) => {
    if (keys === 'all') return cut({ ...of, hook, silent: true });
    const positions = blindPositions(model, ids);
    return cut({ ...of, hook, keys, positions, newTokens: true });
  });
}

/** Positions of a prompt that see an image in it and are none of its features. */
export function blindPositions({ imageToken }: VisionLanguageModel, ids: readonly number[]): number[] {
  const first = imageToken === undefined ? -1 : ids.indexOf(imageToken);
  return ids.flatMap((id, position) => (position > first && id !== imageToken ? [position] : []));
}

/** The attention that edges are of. */
export function attentionOf(
  model: VisionLanguageModel,
  { from, attention }: Pick<Edges, 'from' | 'attention'>,
): string {
  return attention ?? (from === 'image' ? model.imageAttention : `${model.promptTower}.attn`);
}

/** The scores' hook points of an attention. */
function hooksOf(model: VisionLanguageModel, attention: string, layers?: readonly number[]): string[] {
  const site = parseSite(model, `${attention}.hook_attn_scores`);
  return chosenBlocks(model, site, layers).map((layer) => `${site.tower}.blocks.${layer}.${site.hook}`);
}

/** Keys of an attention that are features of a sample's images; `all` in cross-attention to them. */
function imageKeys(
  model: VisionLanguageModel,
  sample: SampleInput,
  attention: string,
): readonly number[] | 'all' {
  const [{ ids }] = samplesOf([sample]) as [Sample];
  const vision = `${model.towers[0]}.attn`;
  if (attention === vision || (attention === model.imageAttention && attention.endsWith('.cross_attn')))
    return 'all';
  const keys =
    attention === `${model.promptTower}.attn`
      ? ids.flatMap((id, position) => (id === model.imageToken ? [position] : []))
      : [];
  if (keys.length === 0)
    throw new NoticeError(
      'image',
      `no key of ${attention} is a feature of the image; those of ${model.imageAttention} are`,
    );
  return keys;
}
