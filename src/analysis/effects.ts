// From cells to effects per sample: what figures, tables and tests start from.

import { NoticeError } from '../errors.ts';
import type { CellMetric, CellRow, Corruption, Modality } from './cell.ts';

/** Cells in any order, from memory or streamed from files. */
export type Cells = Iterable<CellRow> | AsyncIterable<CellRow>;

/** Cells that may be averaged with each other. */
export interface EffectGroup {
  readonly task: string;
  readonly modality: Modality;
  readonly corruption: Corruption;
  readonly site: string;
}

/** Effects of whole modules by the role of the patched token. */
export interface ModuleEffects extends EffectGroup {
  readonly samples: readonly string[];
  /** In the order of a prompt. */
  readonly roles: readonly string[];
  /** [role][layer]: one value per sample that has the role. Several tokens of a role, and noise draws, are averaged first. */
  readonly values: readonly (readonly (readonly number[])[])[];
  /** Cells left out because their normalised effect is undefined. */
  readonly undefinedCells: number;
}

/** Effects of single heads. */
export interface HeadEffects extends EffectGroup {
  readonly samples: readonly string[];
  /** [layer][head][sample]; several patched positions, and noise draws, are averaged first. */
  readonly values: readonly (readonly (readonly number[])[])[];
  readonly undefinedCells: number;
}

/** Prompts differ in which option comes first, so this is the order of the parts, not of every prompt. */
const ROLE_ORDER = ['start', 'image', 'noun', 'rest', 'correct', 'or', 'incorrect', 'end'];

/** Groups the cells that patch whole modules (`head` null). */
export async function moduleEffects(cells: Cells, metric: CellMetric): Promise<ModuleEffects[]> {
  const groups = await collect(cells, metric, (cell) =>
    cell.head === null ? { row: cell.role, column: cell.layer } : undefined,
  );
  return groups.map(({ group, table }) => {
    const roles = table.rows.sort((a, b) => roleRank(a) - roleRank(b));
    return {
      ...group,
      samples: table.samples,
      roles,
      values: table.values(roles),
      undefinedCells: table.undefinedCells,
    };
  });
}

/**
 * Groups the cells that patch single heads. With cells of several roles, filter them first: heads are averaged over all
 * positions given.
 * @throws NoticeError('data') where a sample lacks a head that others have (heads are compared with each other)
 */
export async function headEffects(cells: Cells, metric: CellMetric): Promise<HeadEffects[]> {
  const groups = await collect(cells, metric, (cell) =>
    cell.head === null ? undefined : { row: cell.layer, column: cell.head },
  );
  return groups.map(({ group, table }) => {
    const layers = Array.from({ length: Math.max(...table.rows) + 1 }, (_, layer) => layer);
    const values = table.values(layers);
    const { samples, undefinedCells } = table;
    values.forEach((heads, layer) => {
      heads.forEach((effects, head) => {
        if (effects.length === samples.length) return;
        const name = `${group.task}, ${group.corruption}, ${group.site}`;
        throw new NoticeError(
          'data',
          `${name}: head ${head} of layer ${layer} has an effect in ${effects.length} of ${samples.length} samples. ` +
            'Every head must be patched in every sample, with a defined effect.',
        );
      });
    });
    return { ...group, samples, values, undefinedCells };
  });
}

function roleRank(role: string): number {
  const rank = ROLE_ORDER.indexOf(role);
  return rank < 0 ? ROLE_ORDER.length : rank;
}

/** Mean per sample, row and column; the column is a small number. */
class SampleTable<Row> {
  readonly #means = new Map<string, Map<Row, { sums: number[]; counts: number[] }>>();
  readonly #rows = new Set<Row>();
  #columns = 0;
  undefinedCells = 0;

  add(sample: string, row: Row, column: number, value: number | null): void {
    const rows = getOrAdd(this.#means, sample, () => new Map());
    const means = getOrAdd(rows, row, () => ({ sums: [] as number[], counts: [] as number[] }));
    this.#rows.add(row);
    this.#columns = Math.max(this.#columns, column + 1);
    if (value === null) {
      this.undefinedCells++;
      return;
    }
    means.sums[column] = (means.sums[column] ?? 0) + value;
    means.counts[column] = (means.counts[column] ?? 0) + 1;
  }

  get samples(): string[] {
    return [...this.#means.keys()];
  }

  /** In order of appearance. */
  get rows(): Row[] {
    return [...this.#rows];
  }

  /** [row][column]: the means of the samples that have one. */
  values(rows: readonly Row[]): number[][][] {
    return rows.map((row) =>
      Array.from({ length: this.#columns }, (_, column) =>
        [...this.#means.values()].flatMap((sample) => {
          const means = sample.get(row);
          const count = means?.counts[column];
          return means && count ? [means.sums[column]! / count] : [];
        }),
      ),
    );
  }
}

async function collect<Row>(
  cells: Cells,
  metric: CellMetric,
  place: (cell: CellRow) => { row: Row; column: number } | undefined,
): Promise<{ group: EffectGroup; table: SampleTable<Row> }[]> {
  const groups = new Map<string, { group: EffectGroup; table: SampleTable<Row> }>();
  for await (const cell of cells) {
    const at = place(cell);
    if (!at) continue;
    const { task, modality, corruption, site } = cell;
    const { table } = getOrAdd(groups, JSON.stringify([task, modality, corruption, site]), () => ({
      group: { task, modality, corruption, site },
      table: new SampleTable<Row>(),
    }));
    table.add(cell.sample, at.row, at.column, cell[metric]);
  }
  return [...groups.values()];
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
