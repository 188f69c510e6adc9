// The logit lens (nostalgebraist 2020): what the model would answer if it stopped after a block, at every position, those of
// visual tokens too.

import { checkFields, checkList, checkText, checkWhole, checkWholes } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { Tensor, Work } from '../gpu/index.ts';
import { gatherRows, logSumExp, rowNorms, tokenRanks, topLogits } from '../kernels/index.ts';
import {
  type Activation,
  type ModelRun,
  type SampleInput,
  sequenceIn,
  unembed,
  type VisionLanguageModel,
} from '../models/index.ts';
import { chosenBlocks } from './blocks.ts';
import { checkIndices } from './columns.ts';
import type { LensMaps } from './lens-maps.ts';
import { forward, RUN_FIELDS, type RunOptions } from './run.ts';

/** Logits of a block of positions take at most this many bytes. */
const SCRATCH_BYTES = 96 * 1024 * 1024;
/** And at most this share of the memory that is there. */
const SCRATCH_SHARE = 1 / 8;

export interface LogitLensOptions extends RunOptions {
  /** Blocks after which to look; default all. */
  readonly layers?: readonly number[] | undefined;
  /** Default all. `featurePlaces` says which are patches of an image. */
  readonly positions?: readonly number[] | undefined;
  /** How many of the most probable tokens; default 5. */
  readonly topK?: number | undefined;
  /** Tokens whose rank and probability are wanted everywhere; default none. */
  readonly tokens?: readonly number[] | undefined;
  /** Default the one that answers, the only one that has a head. */
  readonly tower?: string | undefined;
  /** Linear maps that the stream passes before the head: a tuned or Jacobian lens. Default none. */
  readonly maps?: LensMaps | undefined;
}

/** What the lens shows of one sample. Lists are in the order [layer, position, …] of `layers` and `positions`. */
export interface LogitLens {
  /** The hook point that is read, with `*` for the block. */
  readonly hook: string;
  readonly layers: readonly number[];
  readonly positions: readonly number[];
  readonly topK: number;
  readonly tokens: readonly number[];
  /** [layer, position, topK] the most probable tokens, the first the most probable; of equal ones the one of the smaller id. */
  readonly ids: Uint32Array;
  /** Their logits and probabilities, softmax over the whole vocabulary. */
  readonly logits: Float32Array;
  readonly probabilities: Float32Array;
  /** [layer, position, token] how many tokens are more probable than each of `tokens`: 0 is the most probable. */
  readonly ranks: Uint32Array;
  readonly tokenProbabilities: Float32Array;
  /** [layer, position] Euclidean norm of what is read: outliers (a first token, registers) stand out by it. */
  readonly norms: Float32Array;
}

/**
 * The residual stream after each block through the model's own last norm and head.
 *
 * In towers that normalise before their sublayers (LLaMA and what follows it) `hook_resid_post` is read, and the final norm and
 * the head (and a logit cap) follow. BLIP's decoder normalises after: its stream, `hook_normalized_resid_post`, has passed the
 * norm of the block's last sublayer already, and there is no other; what follows is the head, which begins with a transform of
 * its own (dense, activation, LayerNorm) before the vocabulary's matrix. That decoder has one position, its start token, and
 * reads the prompt by cross-attention. What Qwen3-VL adds behind a block (DeepStack) is not in it.
 *
 * With `maps` each block's stream goes through a linear map of its own first; `layers` are then those that have one.
 *
 * After the last block the lens (without maps) is the model's answer: the same bits as its logits. Logits are made on the GPU for as many
 * positions at a time as the memory budget allows, and only what is asked for leaves it.
 *
 * @returns for each sample
 * @throws NoticeError('hook') for a tower without a head, a block or position that does not exist; ('usage') for tokens that do
 *   not exist; ('not-finite') where the stream, or what the head makes of it, is NaN or infinite; as `runWithHooks`
 */
export async function logitLens(
  model: VisionLanguageModel,
  samples: readonly SampleInput[],
  given: LogitLensOptions = {},
): Promise<LogitLens[]> {
  checkFields(given, 'the options', [
    'layers',
    'positions',
    'topK',
    'tokens',
    'tower',
    'maps',
    ...RUN_FIELDS,
  ]);
  const { layers, positions, topK = 5, tokens = [], tower, maps, ...options } = given;
  const site = lensSite(model, tower);
  const blocks = chosenBlocks(model, site, layers ?? maps?.layers);
  maps?.check(blocks);
  if (blocks.length === 0) throw new NoticeError('hook', `${site.tower}: no blocks to look at`);
  if (positions !== undefined) checkList(positions, 'positions');
  checkWhole(topK, 'topK', { from: 1, to: model.vocabulary });
  checkWholes(tokens, 'tokens', { to: model.vocabulary - 1 });
  const lens = new Lens(model, site, blocks, { positions, topK, tokens, maps });
  const { cache } = await forward(model, samples, {
    ...options,
    cacheNames: new Set(),
    watch: lens,
    stopAfter: lens.hookOf(Math.max(...blocks)),
    onEnd: (w) => lens.read(w),
  });
  cache.release();
  return lens.results();
}

/** The stream that a lens reads. */
function lensSite(model: VisionLanguageModel, given: string | undefined): { tower: string; hook: string } {
  const tower = model.towers.at(-1) as string;
  if (given !== undefined) {
    checkText(given, 'tower');
    if (given !== tower)
      throw new NoticeError(
        'hook',
        `${given} has no head, so no lens: of ${model.towers.join(', ')} only ${tower} has one`,
      );
  }
  const { norm } = model.configs.find(({ name }) => name === tower) as VisionLanguageModel['configs'][number];
  return { tower, hook: norm === 'after' ? 'hook_normalized_resid_post' : 'hook_resid_post' };
}

/** What is asked for of every block. */
interface Wanted {
  readonly positions: readonly number[] | undefined;
  readonly topK: number;
  readonly tokens: readonly number[];
  readonly maps: LensMaps | undefined;
}

/** What is read of some positions after a block. */
interface Part {
  readonly scores: Tensor;
  readonly top: Tensor;
  readonly ranks: Tensor | undefined;
  readonly norms: Tensor;
}

/** Values of a part, as they were read. */
interface Values {
  readonly scores: Float32Array;
  readonly top: Uint32Array;
  readonly ranks: Uint32Array;
  readonly norms: Float32Array;
}

class Lens {
  readonly names: ReadonlySet<string>;
  readonly #model: VisionLanguageModel;
  readonly #site: { readonly tower: string; readonly hook: string };
  readonly #blocks: readonly number[];
  readonly #wanted: Wanted;
  /** Positions of each run. */
  #positions: readonly (readonly number[])[] = [];
  /** By hook point, the positions of all runs one after the other. */
  readonly #parts = new Map<string, Part[]>();
  readonly #values = new Map<string, Values[]>();

  constructor(
    model: VisionLanguageModel,
    site: { readonly tower: string; readonly hook: string },
    blocks: readonly number[],
    wanted: Wanted,
  ) {
    this.#model = model;
    this.#site = site;
    this.#blocks = blocks;
    this.#wanted = wanted;
    this.names = new Set(blocks.map((layer) => this.hookOf(layer)));
  }

  hookOf(layer: number | '*'): string {
    return `${this.#site.tower}.blocks.${layer}.${this.#site.hook}`;
  }

  see(w: Work, activation: Activation, runs: readonly ModelRun[]): void {
    const { positions } = this.#wanted;
    const own = runs.map((run) => sequenceIn(run, this.#site.tower));
    this.#positions = own.map(({ length }) => {
      if (positions) checkIndices(`${activation.name}: position`, positions, length);
      return positions ?? Array.from({ length }, (_, position) => position);
    });
    const rows = own.flatMap((run, i) =>
      (this.#positions[i] as readonly number[]).map((position) => activation.rowOf(run, position)),
    );
    const { bytes, largestBytes } = this.#model.gpu.room;
    const most = Math.min(SCRATCH_BYTES, SCRATCH_SHARE * bytes, largestBytes);
    const count = Math.max(1, Math.floor(most / (4 * this.#model.vocabulary)));
    const parts: Part[] = [];
    for (let first = 0; first < rows.length; first += count)
      parts.push(this.#look(w, activation, Uint32Array.from(rows.slice(first, first + count))));
    this.#parts.set(activation.name, parts);
  }

  /** Some rows of the stream through the head. */
  #look(w: Work, { name, tensor: stream }: Activation, rows: Uint32Array): Part {
    const { topK, tokens, maps } = this.#wanted;
    const x = gatherRows(w, stream, rows, w.empty(rows.length, stream.columns, 'rows of a lens'));
    const layer = this.#blocks.find((block) => this.hookOf(block) === name) as number;
    const mapped = maps ? maps.apply(w, layer, x) : x;
    const logits = unembed(w, this.#model.answerer.head, mapped);
    if (mapped !== x) w.release(mapped);
    const part = {
      scores: logSumExp(
        w,
        logits,
        Array.from(rows, () => tokens),
      ),
      top: topLogits(w, logits, topK),
      ranks: tokens.length > 0 ? tokenRanks(w, logits, tokens) : undefined,
      norms: rowNorms(w, x),
    };
    w.release(x, logits);
    return part;
  }

  async read(w: Work): Promise<void> {
    for (const [name, parts] of this.#parts) {
      const values: Values[] = [];
      for (const { scores, top, ranks, norms } of parts) {
        const read = await w.read(scores, top, norms, ...(ranks ? [ranks] : []));
        const [found, best, lengths, places = new Float32Array()] = read as [
          Float32Array<ArrayBuffer>,
          Float32Array<ArrayBuffer>,
          Float32Array<ArrayBuffer>,
          Float32Array<ArrayBuffer>?,
        ];
        values.push({ scores: found, top: words(best), norms: lengths, ranks: words(places) });
      }
      this.#values.set(name, values);
    }
  }

  results(): LogitLens[] {
    const { topK, tokens } = this.#wanted;
    let before = 0;
    return this.#positions.map((positions) => {
      const count = this.#blocks.length * positions.length;
      const lens = {
        ...{ hook: this.hookOf('*'), layers: this.#blocks, positions, topK, tokens },
        ids: new Uint32Array(count * topK),
        logits: new Float32Array(count * topK),
        probabilities: new Float32Array(count * topK),
        ranks: new Uint32Array(count * tokens.length),
        tokenProbabilities: new Float32Array(count * tokens.length),
        norms: new Float32Array(count),
      };
      this.#blocks.forEach((layer, l) => {
        positions.forEach((position, p) => {
          this.#fill(lens, l * positions.length + p, this.hookOf(layer), before + p, position);
        });
      });
      before += positions.length;
      return lens;
    });
  }

  /** Puts the numbers of a row of a hook point at a place of a lens. */
  #fill(lens: LogitLens, at: number, name: string, row: number, position: number): void {
    const { topK, tokens } = lens;
    let [start, index] = [0, 0];
    const parts = this.#values.get(name) as readonly Values[];
    while (row - start >= (parts[index] as Values).norms.length)
      start += (parts[index++] as Values).norms.length;
    const { scores, top, ranks, norms } = parts[index] as Values;
    const r = row - start;
    const width = 1 + tokens.length;
    const sum = scores[r * width] as number;
    if (!Number.isFinite(sum))
      throw new NoticeError(
        'not-finite',
        `${name}: at position ${position} what the head makes of it is not finite`,
      );
    const best = new Float32Array(top.buffer, top.byteOffset, top.length);
    for (let i = 0; i < topK; i++) {
      const logit = best[2 * (r * topK + i) + 1] as number;
      lens.ids[at * topK + i] = top[2 * (r * topK + i)] as number;
      lens.logits[at * topK + i] = logit;
      lens.probabilities[at * topK + i] = Math.exp(logit - sum);
    }
    tokens.forEach((_, t) => {
      lens.ranks[at * tokens.length + t] = ranks[r * tokens.length + t] as number;
      lens.tokenProbabilities[at * tokens.length + t] = Math.exp((scores[r * width + 1 + t] as number) - sum);
    });
    lens.norms[at] = norms[r] as number;
  }
}

/** The words that were read as floats. */
function words(read: Float32Array<ArrayBuffer>): Uint32Array {
  return new Uint32Array(read.buffer, read.byteOffset, read.length);
}
