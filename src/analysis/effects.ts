// From cells to effects per sample: what figures, tables and tests start from.

import { NoticeError } from '../errors.ts';
import type { CellMetric, CellRow, Corruption, Modality } from './cell.ts';
import { defined, type SampleValues } from './inference.ts';
import { mean } from './statistics.ts';

/** Cells in any order, from memory or streamed from files. */
export type Cells = Iterable<CellRow> | AsyncIterable<CellRow>;

/** The category that stands for the samples of all. */
export const ALL_CATEGORIES = 'all';

/** Cells that may be averaged with each other. */
export interface EffectGroup {
  readonly task: string;
  /** Of the samples; {@link ALL_CATEGORIES} of the whole task. */
  readonly category: string;
  readonly modality: Modality;
  readonly corruption: Corruption;
  readonly site: string;
}

/** Effects of whole modules by the role of the patched token. */
export interface ModuleEffects extends EffectGroup {
  readonly samples: readonly string[];
  /** In the order of a prompt. */
  readonly roles: readonly string[];
  /** [role][layer][sample]; undefined where a sample has no such token. Several tokens of a role, and noise draws, are averaged first. */
  readonly values: readonly (readonly SampleValues[])[];
}

/** Effects of single heads. */
export interface HeadEffects extends EffectGroup {
  readonly samples: readonly string[];
  /** [layer][head][sample]; several patched positions, and noise draws, are averaged first. */
  readonly values: readonly (readonly (readonly number[])[])[];
}

/** Where single heads were patched: at the correct option's tokens in the prompt, or at the prompt's last. */
export const HEAD_POSITIONS = ['answer', 'last'] as const;
export type HeadPosition = (typeof HEAD_POSITIONS)[number];

/** One row of a table of effects. */
export interface EffectPlace extends EffectGroup {
  readonly layer: number;
  /** Null: the whole module. */
  readonly head: number | null;
  /** Of a module's token; null for heads. */
  readonly role: string | null;
}

export interface PlaceMean {
  /** Over samples; undefined if no cell has a value. */
  readonly mean: number | undefined;
  /** Cells without a value (normalised effects where clean and corrupt run do not differ), which are left out. */
  readonly leftOut: number;
}

/** Prompts differ in which option comes first, so this is the order of the parts, not of every prompt. */
const ROLE_ORDER = ['start', 'image', 'noun', 'rest', 'correct', 'or', 'incorrect', 'end'];

/** What is patched by a cell: a module at a token, or heads at a position. */
type Kind = 'module' | HeadPosition;

/** The effects of all cells of a run, read once. */
export class CellEffects {
  readonly #tables = new Map<string, SampleTable>();

  static async collect(cells: Cells): Promise<CellEffects> {
    const effects = new CellEffects();
    for await (const cell of cells) effects.#add(cell);
    return effects;
  }

  #add(cell: CellRow): void {
    const { head, role, layer } = cell;
    const kind: Kind = head !== null ? (role === 'last' ? 'last' : 'answer') : 'module';
    const table = getOrAdd(this.#tables, keyOf(kind, cell), () => new SampleTable(kind, cell));
    if (head === null) table.add(cell, role, layer);
    else table.add(cell, layer, head);
  }

  /** Whole modules: for every task, modality, corruption and site the samples of all categories, then those of each. */
  modules(metric: CellMetric): ModuleEffects[] {
    return this.#tablesOf('module').flatMap((table) => {
      const roles = (table.rows as string[]).sort((a, b) => roleRank(a) - roleRank(b));
      return table.categories.map((category) => {
        const values = roles.map((role) => table.rowValues(role, metric, category));
        return { ...table.group, category, samples: table.samples(category), roles, values };
      });
    });
  }

  /**
   * Single heads, in the same order.
   * @throws NoticeError('data') where a sample lacks a head that others have (heads are compared with each other)
   */
  heads(metric: CellMetric, position: HeadPosition): HeadEffects[] {
    return this.#tablesOf(position).flatMap((table) => {
      const layers = Array.from({ length: Math.max(...(table.rows as number[])) + 1 }, (_, layer) => layer);
      return table.categories.map((category) => {
        const samples = table.samples(category);
        const values = layers.map((layer) =>
          table
            .rowValues(layer, metric, category)
            .map((found, head) => complete(found, `head ${head} of layer ${layer}`, table.group)),
        );
        return { ...table.group, category, samples, values };
      });
    });
  }

  /** The mean of any metric at a place. */
  mean(place: EffectPlace, metric: CellMetric, position: HeadPosition = 'answer'): PlaceMean {
    const module = place.head === null;
    const table = this.#tables.get(keyOf(module ? 'module' : position, place));
    const [row, column] = module ? [place.role ?? '', place.layer] : [place.layer, place.head];
    return table?.mean(row, column, metric, place.category) ?? { mean: undefined, leftOut: 0 };
  }

  /** Cells without a normalised effect. */
  get undefinedCells(): number {
    return [...this.#tables.values()].reduce((sum, table) => sum + table.undefinedCells, 0);
  }

  #tablesOf(kind: Kind): SampleTable[] {
    return [...this.#tables.values()].filter((table) => table.kind === kind);
  }
}

/** The samples of one category, or of all. */
export function ofCategory<Group extends EffectGroup>(
  groups: readonly Group[],
  category: string = ALL_CATEGORIES,
): Group[] {
  return groups.filter((group) => group.category === category);
}

function complete(values: SampleValues, place: string, { task, corruption, site }: TableGroup): number[] {
  const found = defined(values);
  if (found.length === values.length) return found;
  throw new NoticeError(
    'data',
    `${task}, ${corruption}, ${site}: ${place} has an effect in ${found.length} of ${values.length} samples. ` +
      'Every head must be patched in every sample, with a defined effect.',
  );
}

function keyOf(kind: Kind, { task, modality, corruption, site }: TableGroup): string {
  return JSON.stringify([kind, task, modality, corruption, site]);
}

function roleRank(role: string): number {
  const rank = ROLE_ORDER.indexOf(role);
  return rank < 0 ? ROLE_ORDER.length : rank;
}

type TableGroup = Omit<EffectGroup, 'category'>;
type Row = string | number;

const METRICS = ['p_patched', 'p_effect', 'ld_effect', 'normalized'] as const satisfies readonly CellMetric[];
/** Of a place in a sample: the sum of each metric, the number of cells, how many of them have no normalised effect. */
const WIDTH = METRICS.length + 2;
const COUNT = METRICS.length;
const UNDEFINED = COUNT + 1;

/** Sums of a sample by row. */
interface SampleSums {
  readonly category: string;
  readonly rows: Map<Row, number[]>;
}

/** Sums per sample, row and column; the column is a small number. */
class SampleTable {
  readonly kind: Kind;
  readonly group: TableGroup;
  undefinedCells = 0;
  /** By row: [column · WIDTH]. */
  readonly #samples = new Map<string, SampleSums>();
  readonly #rows = new Set<Row>();
  /** The samples of a category, made when they are asked for. */
  readonly #categories = new Map<string, (readonly [string, SampleSums])[]>();
  #columns = 0;

  constructor(kind: Kind, { task, modality, corruption, site }: TableGroup) {
    this.kind = kind;
    this.group = { task, modality, corruption, site };
  }

  add(cell: CellRow, row: Row, column: number): void {
    this.#categories.clear();
    const { rows } = getOrAdd(this.#samples, cell.sample, () => ({
      category: cell.category,
      rows: new Map<Row, number[]>(),
    }));
    const sums = getOrAdd(rows, row, () => []);
    this.#rows.add(row);
    this.#columns = Math.max(this.#columns, column + 1);
    while (sums.length < WIDTH * (column + 1)) sums.push(0);
    const at = WIDTH * column;
    METRICS.forEach((metric, m) => {
      sums[at + m]! += cell[metric] ?? 0;
    });
    sums[at + COUNT]!++;
    if (cell.normalized !== null) return;
    sums[at + UNDEFINED]!++;
    this.undefinedCells++;
  }

  /** All, then each of them if there are several, in alphabetical order. */
  get categories(): string[] {
    const found = new Set([...this.#samples.values()].map(({ category }) => category));
    const names = [...found].filter((name) => name !== ALL_CATEGORIES).sort();
    return names.length > 1 ? [ALL_CATEGORIES, ...names] : [ALL_CATEGORIES];
  }

  /** In order of appearance. */
  get rows(): Row[] {
    return [...this.#rows];
  }

  samples(category: string): string[] {
    return this.#of(category).map(([id]) => id);
  }

  /** [column][sample] */
  rowValues(row: Row, metric: CellMetric, category: string): SampleValues[] {
    const samples = this.#of(category);
    return Array.from({ length: this.#columns }, (_, column) =>
      samples.map(([, { rows }]) => sampleMean(rows.get(row), column, metric)),
    );
  }

  mean(row: Row, column: number, metric: CellMetric, category: string): PlaceMean {
    const sums = this.#of(category).map(([, { rows }]) => rows.get(row));
    const values = defined(sums.map((found) => sampleMean(found, column, metric)));
    const leftOut =
      metric === 'normalized'
        ? sums.reduce((total, found) => total + (found?.[WIDTH * column + UNDEFINED] ?? 0), 0)
        : 0;
    return { mean: values.length > 0 ? mean(values) : undefined, leftOut };
  }

  #of(category: string): (readonly [string, SampleSums])[] {
    return getOrAdd(this.#categories, category, () =>
      [...this.#samples].filter(([, sample]) => category === ALL_CATEGORIES || sample.category === category),
    );
  }
}

function sampleMean(
  sums: readonly number[] | undefined,
  column: number,
  metric: CellMetric,
): number | undefined {
  const at = WIDTH * column;
  const cells = sums?.[at + COUNT] ?? 0;
  const count = metric === 'normalized' ? cells - (sums?.[at + UNDEFINED] ?? 0) : cells;
  return sums && count > 0 ? sums[at + METRICS.indexOf(metric)]! / count : undefined;
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
