// The Q-Former: a BERT in which learned queries stand before the words of the instruction. Queries and words attend to each
// other; the queries attend to the image besides, and what they have become is what the language model sees of it.

import { NoticeError } from '../../errors.ts';
import { rowsOf, type Tensor, type Work } from '../../gpu/index.ts';
import { embedTokens, gatherRows, type NormWeights, normalize, type Weight } from '../../kernels/index.ts';
import type { WeightLoader } from '../../weights/index.ts';
import { selectFeatures } from '../feature-runs.ts';
import type { HookInfo } from '../hook-table.ts';
import type { ModelRun, Sample } from '../model.ts';
import { type BlockNames, blockHooks, loadBlocks } from '../parts/block.ts';
import { sequenceIn, sequencesIn } from '../sequences.ts';
import { type BlockWeights, type Memory, type Probe, passPoint, Sequence, Tower } from '../tower/index.ts';
import { layerNorm } from '../weight-maps.ts';
import type { QFormerSettings } from './config.ts';

const ATTENTION = (name: string) => ({
  queryKeyValue: [`${name}.attention.query`, `${name}.attention.key`, `${name}.attention.value`] as const,
  output: `${name}.output.dense`,
  norm: `${name}.output.LayerNorm`,
});
const MLP = (kind: '' | '_query') => ({
  input: `intermediate${kind}.dense`,
  output: `output${kind}.dense`,
  norm: `output${kind}.LayerNorm`,
});
const BLOCK: BlockNames = {
  attention: ATTENTION('attention'),
  cross: ATTENTION('crossattention'),
  mlp: MLP(''),
  queryMlp: MLP('_query'),
};

const blocksOf = ({ tower }: QFormerSettings, prefix: string) => ({
  config: tower,
  path: (layer: number) => `${prefix}qformer.encoder.layer.${layer}`,
  names: BLOCK,
});

export interface QFormerWeights {
  /** [query, width] */
  readonly queries: Weight;
  readonly words: Weight;
  readonly positions: Weight;
  readonly norm: NormWeights;
  readonly blocks: readonly BlockWeights[];
}

/**
 * @param prefix path of the module that holds it and its queries, with its dot
 * @param memoryWidth of the image's features
 */
export async function loadQFormer(
  loader: WeightLoader,
  prefix: string,
  settings: QFormerSettings,
  memoryWidth: number,
): Promise<QFormerWeights> {
  const { tower, eps, vocabulary, maxPositions } = settings;
  const columns = tower.width;
  const embeddings = `${prefix}qformer.embeddings`;
  return {
    queries: await loader.matrix(`${prefix}query_tokens`, { rows: tower.queries, columns }),
    words: await loader.matrix(`${embeddings}.word_embeddings.weight`, { rows: vocabulary, columns }),
    positions: await loader.matrix(`${embeddings}.position_embeddings.weight`, {
      rows: maxPositions,
      columns,
    }),
    norm: await layerNorm(loader, `${embeddings}.layernorm`, columns, eps),
    blocks: await loadBlocks(loader, blocksOf(settings, prefix), { eps, memoryWidth }),
  };
}

export function qformerHooks(settings: QFormerSettings): HookInfo[] {
  return [
    { name: 'qformer.hook_embed', shape: ['position', settings.tower.width], module: 'qformer.embeddings' },
    ...blockHooks(blocksOf(settings, '')),
  ];
}

/** The tower `queries` has runs of what the queries have become; no hook point belongs to it. */
export const QUERIES = 'queries';

export class QFormer {
  readonly tower: Tower;
  readonly #settings: QFormerSettings;
  readonly #weights: QFormerWeights;

  constructor(settings: QFormerSettings, weights: QFormerWeights) {
    this.tower = new Tower(settings.tower, weights.blocks);
    this.#settings = settings;
    this.#weights = weights;
  }

  /**
   * Looks at the runs' images for what their instructions ask; makes their runs in `qformer` and {@link QUERIES}.
   *
   * @returns the queries' output [rows, width]
   * @throws NoticeError('text') for a sample without an instruction, or with one that is too long
   */
  async look(w: Work, runs: readonly ModelRun[], memory: Memory, probe: Probe): Promise<Tensor> {
    const frame = { x: this.#embed(w, this.#runs(runs)) };
    const walk = { w, probe, runs: sequencesIn(runs, 'qformer'), memory };
    await passPoint(walk, 'qformer.hook_embed', frame, 'x');
    const x = await this.tower.walk(walk, frame.x);
    const queries = Array.from({ length: this.#settings.tower.queries }, (_, position) => [position]);
    const { runs: selected, rows } = selectFeatures(walk.runs, queries);
    for (const run of runs) run.towers.set(QUERIES, selected.get(sequenceIn(run, 'qformer')) as Sequence);
    const features = gatherRows(w, x, rows, w.empty(rows.length, x.columns, 'query features'));
    w.release(x);
    return features;
  }

  /**
   * Makes the runs. One that reads the image and the instruction that its base reads, and departs nowhere here, is its
   * base's; one with an instruction of another length has nothing in common with it.
   *
   * @returns what stands in the rows: first in those of queries, then in those of words
   */
  #runs(runs: readonly ModelRun[]): { queries: Place[]; words: Place[] } {
    const { queries } = this.#settings.tower;
    const places: Place[] = [];
    for (const modelRun of runs) {
      const { base, sample, departsIn } = modelRun;
      const instruction = this.#instruction(sample);
      const before = base && this.#instruction(base.sample);
      const memory = sequenceIn(modelRun, 'vision');
      const derived = base && before?.length === instruction.length ? sequenceIn(base, 'qformer') : undefined;
      const changed = instruction.flatMap((id, p) => (derived && before?.[p] === id ? [] : [p]));
      if (derived && changed.length === 0 && derived.memory === memory && !departsIn.has('qformer')) {
        modelRun.towers.set('qformer', derived);
        continue;
      }
      const run = new Sequence(queries + instruction.length, { base: derived, memory, queries });
      if (!derived) for (let id = 0; id < queries; id++) places.push({ run, position: id, id });
      for (const p of changed) places.push({ run, position: queries + p, id: instruction[p] as number });
      modelRun.towers.set('qformer', run);
    }
    const isQuery = ({ position }: Place) => position < queries;
    const ordered = { queries: places.filter(isQuery), words: places.filter((place) => !isQuery(place)) };
    [...ordered.queries, ...ordered.words].forEach(({ run, position }, row) => {
      run.rows[position] = row;
    });
    return ordered;
  }

  #instruction({ instruction }: Sample): readonly number[] {
    if (!instruction || instruction.length === 0)
      throw new NoticeError(
        'text',
        'this model reads the question twice, and the sample lacks the one for its Q-Former (`instruction`)',
      );
    const { maxPositions } = this.#settings;
    if (instruction.length > maxPositions)
      throw new NoticeError(
        'text',
        `the question has ${instruction.length} tokens for the Q-Former, which reads at most ${maxPositions}`,
      );
    return instruction;
  }

  #embed(w: Work, { queries, words }: { queries: readonly Place[]; words: readonly Place[] }): Tensor {
    const { queries: vectors, words: table, positions, norm } = this.#weights;
    const ids = (places: readonly Place[]) => places.map(({ id }) => id);
    const first = this.#settings.tower.queries;
    const sum = w.empty(queries.length + words.length, table.columns, 'queries and words');
    const parts = [
      embedTokens(w, ids(queries), vectors),
      embedTokens(
        w,
        ids(words),
        table,
        words.map(({ position }) => position - first),
        positions,
      ),
    ];
    let row = 0;
    for (const part of parts) {
      gatherRows(
        w,
        part,
        Uint32Array.from({ length: part.rows }, (_, i) => i),
        rowsOf(sum, row, part.rows),
      );
      row += part.rows;
    }
    const x = normalize(w, sum, norm);
    w.release(sum, ...parts);
    return x;
  }
}

/** A query (its number) or a word (its token) at a position of a run. */
interface Place {
  readonly run: Sequence;
  readonly position: number;
  readonly id: number;
}
