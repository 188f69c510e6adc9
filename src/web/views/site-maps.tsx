// What each place restores, by token and layer for modules, by layer and head for heads. Cells are what is pinned.

import type { JSX } from 'preact';
import { useMemo, useRef } from 'preact/hooks';
import { type EffectScale, effectScale } from '../../notice/plots/colors.ts';
import type { CorruptionName, PromptToken } from '../protocol/session.ts';
import { pair } from '../state/app.ts';
import { corruption } from '../state/patched.ts';
import { addPins, covers, pins, togglePin } from '../state/pins.ts';
import { metric, type SiteMap } from '../state/sweep.ts';
import { sweepTable } from '../state/sweep-table.ts';
import { ExportMenu } from './export-menu.tsx';
import type { CellPlace } from './grid-cells.ts';
import { HeatMap } from './heat-map.tsx';
import { CELL_NUMBERS, hookIn, metricName } from './sweep-text.ts';
import './maps.css';

/** The maps of a site: one, or of its heads one for each group of positions. */
export function SiteView({
  map,
  scale,
}: {
  readonly map: SiteMap;
  readonly scale: EffectScale;
}): JSX.Element {
  const tokens = pair.value?.tokens ?? NO_TOKENS;
  // While a sweep goes on, maps that have nothing new are not drawn again.
  return useMemo(
    () => <>{siteMaps(map, tokens, scale)}</>,
    [map, tokens, scale.low, scale.high, metric.value, pins.value],
  );
}

const NO_TOKENS: readonly PromptToken[] = [];

function siteMaps(map: SiteMap, tokens: readonly PromptToken[], scale: EffectScale): JSX.Element[] {
  if (map.heads === undefined) return [<ModuleMap key="modules" map={map} tokens={tokens} scale={scale} />];
  return map.positions.map((positions, group) => (
    <HeadMap key={`${positions}`} map={map} group={group} at={groupName(positions, tokens)} scale={scale} />
  ));
}

interface MapProps {
  readonly map: SiteMap;
  readonly scale: EffectScale;
}

/** Token × layer. */
function ModuleMap({
  map,
  tokens,
  scale,
}: MapProps & { readonly tokens: readonly PromptToken[] }): JSX.Element {
  const { site, layers, positions } = map;
  const drawing = useRef<SVGSVGElement>(null);
  const values = positions.flatMap((_, p) => layers.map((_, l) => valueAt(map, l * positions.length + p)));
  const placeOf = (cells: readonly CellPlace[]) => ({
    hooks: unique(cells.map(({ column }) => hookIn(site, layers[column] as number))),
    positions: unique(cells.flatMap(({ row }) => positions[row] ?? [])),
  });
  return (
    <article style={{ flexBasis: roomFor(layers.length) }}>
      <h4>{hookOf(site)}</h4>
      <HeatMap
        title={`${site}, corrupt ${map.corruption}, ${metricName(metric.value)}`}
        values={values}
        rows={positions.map(
          ([position]) => tokens.find((token) => token.position === position)?.text ?? `${position}`,
        )}
        columns={layers.map(String)}
        rowName="token"
        columnName="layer"
        scale={scale}
        pinned={(row, column) =>
          isPinned(hookIn(site, layers[column] as number), positions[row] ?? [], undefined)
        }
        onPick={(cells) => pick(map.corruption, placeOf(cells))}
        onDrop={(cell) => drop(map.corruption, placeOf([cell]))}
        svgRef={drawing}
      />
      <Save map={map} drawing={drawing} />
    </article>
  );
}

/** The map as a picture, the site's numbers as a table. */
function Save({
  map,
  drawing,
}: {
  readonly map: SiteMap;
  readonly drawing: { readonly current: SVGSVGElement | null };
}): JSX.Element {
  const shown = pair.value;
  return (
    <details class="save">
      <summary>Save</summary>
      {shown && (
        <ExportMenu
          name={`${shown.spec.id?.replace('/', '-') ?? 'pair'}-${map.site}-${map.corruption}`}
          drawing={() => drawing.current}
          table={() => sweepTable(map, shown)}
        />
      )}
    </details>
  );
}

/** Layer × head, at one group of positions. */
function HeadMap({
  map,
  group,
  at,
  scale,
}: MapProps & { readonly group: number; readonly at: string }): JSX.Element {
  const { site, layers, heads = 0, positions } = map;
  const drawing = useRef<SVGSVGElement>(null);
  const all = Array.from({ length: heads }, (_, head) => head);
  const groupPositions = positions[group] ?? [];
  const values = layers.flatMap((_, l) =>
    all.map((h) => valueAt(map, (l * heads + h) * positions.length + group)),
  );
  const placeOf = (cells: readonly CellPlace[]) => ({
    hooks: unique(cells.map(({ row }) => hookIn(site, layers[row] as number))),
    heads: unique(cells.map(({ column }) => column)),
    positions: groupPositions,
  });
  return (
    <article style={{ flexBasis: roomFor(heads) }}>
      <h4>
        {hookOf(site)} by head, {at}
      </h4>
      <HeatMap
        title={`${site} by head, ${at}, corrupt ${map.corruption}, ${metricName(metric.value)}`}
        values={values}
        rows={layers.map(String)}
        columns={all.map(String)}
        rowName="layer"
        columnName="head"
        scale={scale}
        pinned={(row, column) => isPinned(hookIn(site, layers[row] as number), groupPositions, column)}
        onPick={(cells) => pick(map.corruption, placeOf(cells))}
        onDrop={(cell) => drop(map.corruption, placeOf([cell]))}
        svgRef={drawing}
      />
      <Save map={map} drawing={drawing} />
    </article>
  );
}

/** A site's name without the tower, which is the same for all maps. */
function hookOf(site: string): string {
  return site.replace(/^[^.]*\./, '');
}

/** Width from which on a map with so many columns is well read. */
function roomFor(columns: number): string {
  return `${70 + 22 * columns}px`;
}

type Place = Parameters<typeof togglePin>[0];

function pick(name: CorruptionName, place: Place): void {
  corruption.value = name;
  togglePin(place);
}

function drop(name: CorruptionName, place: Place): void {
  corruption.value = name;
  addPins([{ kind: 'edit', operation: { kind: 'replace' }, ...place }]);
}

function isPinned(hook: string, at: readonly number[], head: number | undefined): boolean {
  return pins.value.some((pin) => pin.kind === 'edit' && covers(pin, hook, at, head));
}

function valueAt({ data }: SiteMap, cell: number): number {
  return data[CELL_NUMBERS.length * cell + CELL_NUMBERS.indexOf(metric.value)] as number;
}

/** One scale for several maps, so that their colours can be compared. */
export function scaleOf(list: readonly SiteMap[]): EffectScale {
  const at = CELL_NUMBERS.indexOf(metric.value);
  const values = list.flatMap(({ data }) =>
    [...data].filter((value, i) => i % CELL_NUMBERS.length === at && Number.isFinite(value)),
  );
  return effectScale(values, true);
}

function groupName(positions: readonly number[], tokens: readonly PromptToken[]): string {
  const texts = positions.map(
    (position) => tokens.find((token) => token.position === position)?.text ?? `${position}`,
  );
  return `at ${texts.join(' ')}`;
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
