// What knock-outs found, on the terminal and in files.

import { figureSvg } from '../notice/plots/figure.ts';
import { layerProfiles } from '../notice/plots/layer-profiles.ts';
import { moduleHeatmap } from '../notice/plots/module-heatmap.ts';
import type { ColumnKind } from '../notice/tables/columns.ts';
import { type EdgeGroupResult, KNOCKOUT_METRICS, type KnockoutResult } from '../patching/index.ts';
import { writeResult } from './result-file.ts';
import { terminalTable } from './table.ts';

/** Quantity and unit of tables and figures. */
const CHANGE = '(P′ − P) / P (%)';
const NUMBERS = KNOCKOUT_METRICS.length;
const P_CHANGE = KNOCKOUT_METRICS.indexOf('p_change');

const COLUMNS = {
  edges: 'text',
  attention: 'text',
  layer: 'integer',
  first_layer: 'integer',
  last_layer: 'integer',
  head: 'integer or null',
  edges_cut: 'integer',
  p: 'float',
  p_effect: 'float',
  ld_effect: 'float',
  p_change: 'float or null',
} as const satisfies Record<string, ColumnKind>;

/** A line of a table: edges, of one head or all, and by window the change. */
interface Line {
  readonly name: string;
  readonly head: number | undefined;
  readonly group: EdgeGroupResult;
  readonly changes: readonly number[];
}

function linesOf({ groups }: KnockoutResult): Line[] {
  return groups.flatMap((group) => {
    const { name, heads, windows, data } = group;
    const each = heads ?? [undefined];
    return each.map((head, h) => ({
      name: head === undefined ? name : `${name}, head ${head}`,
      head,
      group,
      changes: windows.map(
        (_, window) => 100 * (data[NUMBERS * (window * each.length + h) + P_CHANGE] as number),
      ),
    }));
  });
}

/** The changes of the correct answer's probability, by the block in the middle of each window. */
export function knockoutTable(result: KnockoutResult, correct: string): string {
  const lines = linesOf(result);
  const layers = [...new Set(lines.flatMap(({ group }) => group.layers))].sort((a, b) => a - b);
  const table = terminalTable(lines, [
    { name: 'edges', value: ({ name }) => name },
    ...layers.map((layer) => ({
      name: String(layer),
      value: ({ group, changes }: Line) => changes[group.layers.indexOf(layer)],
      digits: 3,
    })),
  ]);
  const { p, logitDifference } = result.baseline;
  const nothing = `P(${correct}) ${p.toFixed(4)}, LD ${logitDifference.toFixed(3)}`;
  return `${CHANGE} by layer; with all edges ${nothing}\n\n${table}`;
}

/** @param file its ending says the format */
export function writeKnockout(file: string, result: KnockoutResult, windows: number): Promise<void> {
  const { groups, logits } = result;
  return writeResult(file, {
    tensors: () => [
      ...groups.map(({ name, shape, data }) => ({ name: `knockout/${name}`, shape, data: () => data })),
      { name: 'logits', shape: [logits.length], data: () => logits },
    ],
    table: { name: 'knockouts', columns: COLUMNS, rows: () => groups.flatMap(rowsOf) },
    figure: () => figureOf(result, windows),
  });
}

function rowsOf({ name, attention, windows, layers, heads, data, edges }: EdgeGroupResult) {
  const each = heads ?? [null];
  return windows.flatMap((window, w) =>
    each.map((head, h) => {
      const at = w * each.length + h;
      const [p = 0, p_effect = 0, ld_effect = 0, p_change = 0] = data.subarray(NUMBERS * at);
      return {
        ...{ edges: name, attention, layer: layers[w] as number, head },
        first_layer: Math.min(...window),
        last_layer: Math.max(...window),
        edges_cut: edges[at] as number,
        ...{ p, p_effect, ld_effect, p_change: Number.isFinite(p_change) ? p_change : null },
      };
    }),
  );
}

function figureOf(result: KnockoutResult, windows: number): string {
  const { groups, baseline, controls } = result;
  const text = {
    title: 'Attention knock-out, one sample',
    subtitle:
      windows === 1
        ? 'Each block by itself'
        : `Windows of ${windows} blocks around each block, cut off at the ends`,
    n: 1,
    label: CHANGE,
    ...(controls && { noiseFloor: (100 * controls.noiseFloorP) / baseline.p }),
  };
  const lines = linesOf(result);
  if (lines.some(({ head }) => head !== undefined))
    return figureSvg(
      moduleHeatmap({
        ...text,
        rowLabel: 'head',
        panels: groups.map((group) => {
          const own = lines.filter((line) => line.group === group);
          return {
            row: '',
            column: group.name,
            roles: own.map(({ head }) => String(head)),
            values: own.map(({ changes }) => changes),
          };
        }),
      }),
    );
  const series = lines.map(({ name, group, changes }) => {
    const points = Array.from({ length: Math.max(...group.layers) + 1 }, (_, layer) => {
      const mean = changes[group.layers.indexOf(layer)];
      return mean === undefined ? undefined : { mean, low: mean, high: mean };
    });
    return [name, points] as const;
  });
  return figureSvg(
    layerProfiles({
      ...text,
      seriesLabel: 'edges',
      panels: [{ title: 'without the edges', series: Object.fromEntries(series) }],
    }),
  );
}
