// What a sweep found, on the terminal and in files.

import { type CellRow, METRIC_LABELS } from '../analysis/cell.ts';
import {
  type FeaturePlace,
  featurePlaces,
  placeName,
  type Sample,
  type VisionLanguageModel,
} from '../models/index.ts';
import { figureSvg } from '../notice/plots/figure.ts';
import { moduleHeatmap } from '../notice/plots/module-heatmap.ts';
import { CELL_COLUMNS } from '../notice/tables/cell-schema.ts';
import { sweepRows } from '../notice/tables/sweep-rows.ts';
import { type SiteResult, type SweepResult, towerOf } from '../patching/index.ts';
import { writeResult } from './result-file.ts';
import { terminalTable } from './table.ts';

/** Rows of a table on the terminal: of more positions those with the largest effects are shown. */
const MOST_ROWS = 40;
const EFFECT = METRIC_LABELS.ld_effect;

/** What stands at a position of the prompt: its number with the token, or with the place of an image's feature. */
export function positionLabels(
  model: VisionLanguageModel,
  sample: Sample,
  tokens: ReadonlyMap<number, string> = new Map(),
): (site: string, position: number) => string {
  const places = featurePlaces(model, sample);
  return (site, position) => {
    if (towerOf(site) !== model.promptTower) return String(position);
    const place = places.get(position);
    const name = place ? placeName(place) : tokens.get(position);
    return name === undefined ? String(position) : `${position} ${name}`;
  };
}

type Labels = ReturnType<typeof positionLabels>;

const { site, layer, head, position, token, p_patched, p_effect, ld_effect, normalized } = CELL_COLUMNS;
/** Those columns of an experiment's cells that a sweep by itself has. */
const COLUMNS = { site, layer, head, position, token, p_patched, p_effect, ld_effect, normalized };

type SweepCell = Pick<CellRow, keyof typeof COLUMNS>;

function cellsOf(result: SiteResult, labels: Labels): SweepCell[] {
  const { site } = result;
  return Array.from(sweepRows(result), ({ group: _, positions: __, ...row }) => ({
    site,
    ...row,
    token: labels(site, row.position),
  }));
}

/** What a result is called. */
export interface SweepTitles {
  readonly title: string;
  readonly effect: string;
  /** Before the sites' names in files of tensors; `estimate`: of the effects alone. */
  readonly tensors: 'sweep' | 'estimate';
}

const SWEEP: SweepTitles = { title: 'Activation patching, one pair', effect: EFFECT, tensors: 'sweep' };

export function cellCount({ sites }: SweepResult): number {
  return sites.reduce((sum, { data }) => sum + data.length / 4, 0);
}

/** A row of a map: what is patched, and by layer the effects. */
interface MapRow {
  readonly name: string;
  readonly effects: readonly number[];
}

/** Positions × layers, or heads × layers of each position. */
function mapsOf(
  { site, layers, heads, positions, data }: SiteResult,
  labels: Labels,
): { title: string; rows: MapRow[] }[] {
  const names = positions.map(([position = 0]) => labels(site, position));
  /** By layer the effects at a group of positions. */
  const effects = (group: number, head = 0) =>
    layers.map((_, l) => data[4 * ((l * (heads ?? 1) + head) * positions.length + group) + 2] as number);
  if (heads === undefined)
    return [{ title: site, rows: names.map((name, group) => ({ name, effects: effects(group) })) }];
  return names.map((name, group) => ({
    title: `${site} at ${name}`,
    rows: Array.from({ length: heads }, (_, head) => ({
      name: `head ${head}`,
      effects: effects(group, head),
    })),
  }));
}

/** The maps as tables: effects on the logit difference, by layer. */
export function sweepTables({ sites, baseline }: SweepResult, labels: Labels, titles = SWEEP): string[] {
  const tables = sites.flatMap((site) =>
    mapsOf(site, labels).map(({ title, rows }) => {
      const largest = ({ effects }: MapRow) => Math.max(...effects.map(Math.abs));
      const least = rows.map(largest).sort((a, b) => b - a)[MOST_ROWS - 1] ?? 0;
      const shown = rows.filter((row) => largest(row) >= least).slice(0, MOST_ROWS);
      const left = rows.length - shown.length;
      const table = terminalTable(shown, [
        { name: title, value: ({ name }) => name },
        ...site.layers.map((layer, l) => ({
          name: String(layer),
          value: ({ effects }: MapRow) => effects[l] as number,
          digits: 2,
        })),
      ]);
      return left > 0 ? `${table}\n(${left} rows of smaller effects are left out)` : table;
    }),
  );
  const { ldClean, ldCorrupt } = baseline;
  return [
    `${titles.effect} by layer; LD clean ${ldClean.toFixed(3)}, corrupt ${ldCorrupt.toFixed(3)}`,
    ...tables,
  ];
}

/** What the self-checks of a sweep found. */
export function controlLines({ controls }: SweepResult): string[] {
  if (!controls) return [];
  return [
    `controls: ${controls.nullPatches} null patch${controls.nullPatches === 1 ? '' : 'es'} exactly 0, full restoration exact, ` +
      `rounding moves the logit difference by ${controls.noiseFloor.toExponential(1)}`,
  ];
}

/** Where the largest effect of each site is that is at a feature of an image. */
export function largestEffects(
  model: VisionLanguageModel,
  { sites }: SweepResult,
  places: ReadonlyMap<number, FeaturePlace>,
): string[] {
  return sites.flatMap(({ site, layers, heads, positions, data }) => {
    let best = 0;
    for (let i = 0; 4 * i < data.length; i++)
      if (Math.abs(data[4 * i + 2] as number) > Math.abs(data[4 * best + 2] as number)) best = i;
    const [position] = positions[best % positions.length] as readonly number[];
    const place = towerOf(site) === model.promptTower && places.get(position as number);
    if (!place) return [];
    const row = Math.floor(best / positions.length);
    const at = heads === undefined ? layers[row] : `${layers[Math.floor(row / heads)]}, head ${row % heads}`;
    const effect = (data[4 * best + 2] as number).toPrecision(3);
    return [`${site}: largest effect on the logit difference ${effect}, block ${at}, ${placeName(place)}`];
  });
}

/** Writes a result in the format of the file's name. */
export function writeSweep(
  file: string,
  names: readonly string[],
  result: SweepResult,
  labels: Labels,
  titles = SWEEP,
): Promise<void> {
  const { sites, logits } = result;
  return writeResult(file, {
    tensors: () => [
      ...sites.map((site, i) => ({ name: `${titles.tensors}/${names[i]}`, ...numbersOf(site, titles) })),
      { name: 'logits/clean', shape: [logits.clean.length], data: () => logits.clean },
      { name: 'logits/corrupt', shape: [logits.corrupt.length], data: () => logits.corrupt },
    ],
    table: { name: 'cells', columns: COLUMNS, rows: () => sites.flatMap((site) => cellsOf(site, labels)) },
    figure: () => figureOf(result, labels, titles),
  });
}

/** A site's numbers: all four of a cell, or of an estimate its effect. */
function numbersOf({ shape, data }: SiteResult, { tensors }: SweepTitles) {
  if (tensors === 'sweep') return { shape, data: () => data };
  return { shape: shape.slice(0, -1), data: () => data.filter((_, i) => i % 4 === 2) };
}

function figureOf({ sites, controls }: SweepResult, labels: Labels, titles: SweepTitles): string {
  return figureSvg(
    moduleHeatmap({
      title: titles.title,
      n: 1,
      label: titles.effect,
      ...(controls && { noiseFloor: controls.noiseFloor }),
      panels: sites.flatMap((site) =>
        mapsOf(site, labels).map(({ title, rows }) => ({
          row: '',
          column: title,
          roles: rows.map(({ name }) => name),
          values: rows.map(({ effects }) => effects),
        })),
      ),
    }),
  );
}
