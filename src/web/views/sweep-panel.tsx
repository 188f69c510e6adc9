// Sweep maps: what each place restores, by token and layer for modules, by layer and head for heads; both corruptions side by
// side. Their cells are what is pinned.

import type { JSX } from 'preact';
import { type EffectScale, effectScale } from '../../notice/plots/colors.ts';
import { isOfMemory } from '../../patching/names.ts';
import type { CorruptionName, PromptToken } from '../protocol/session.ts';
import { model, pair } from '../state/app.ts';
import { corruption } from '../state/patched.ts';
import { addPins, covers, pins, togglePin } from '../state/pins.ts';
import {
  chosenSites,
  type MetricName,
  maps,
  metric,
  noiseFloor,
  type SiteMap,
  stopSweep,
  sweeping,
  sweepNow,
} from '../state/sweep.ts';
import type { CellPlace } from './grid-cells.ts';
import { HeatMap } from './heat-map.tsx';
import { Panel } from './layout.tsx';
import { CELL_NUMBERS, hookIn, METRIC_TITLES, metricName } from './sweep-text.ts';
import './maps.css';

export function SweepPanel(): JSX.Element {
  const shown = maps.value;
  const corruptions = [...new Set(shown.map((map) => map.corruption))];
  const scales = {
    modules: scaleOf(shown.filter(({ heads }) => heads === undefined)),
    heads: scaleOf(shown.filter(({ heads }) => heads !== undefined)),
  };
  return (
    <Panel title="Patching maps" aside={<Progress />}>
      <p class="note">
        Each cell: the corrupt run with the clean run’s activation put in at one place. Click or press Enter
        to pin a cell, drag over cells for a region, drag a head onto the patched run.
      </p>
      <div class="map-settings">
        <label>
          Numbers{' '}
          <select
            value={metric.value}
            onChange={({ currentTarget }) => {
              metric.value = currentTarget.value as MetricName;
            }}
          >
            {Object.entries(METRIC_TITLES).map(([name, title]) => (
              <option key={name} value={name}>
                {title}
              </option>
            ))}
          </select>
        </label>
        <Sites />
      </div>
      <div class="map-columns">
        {corruptions.map((name) => (
          <section key={name} class="corruption" aria-label={`Corrupt ${name}`}>
            <h3>Corrupt {name}</h3>
            {shown
              .filter((map) => map.corruption === name)
              .map((map) => (
                <SiteView
                  key={`${map.site} ${map.heads}`}
                  map={map}
                  scale={map.heads === undefined ? scales.modules : scales.heads}
                />
              ))}
          </section>
        ))}
      </div>
      <p class="note">
        {noiseFloor.value === undefined
          ? '\u00a0'
          : `Rounding alone moves the logit difference by ${noiseFloor.value.toExponential(1)}: smaller effects mean nothing.`}
      </p>
    </Panel>
  );
}

function Progress(): JSX.Element {
  const state = sweeping.value;
  if (!state)
    return (
      <button type="button" disabled={!pair.value} onClick={() => void sweepNow()}>
        Sweep
      </button>
    );
  return (
    <span class="sweep-progress">
      <progress max={state.cells} value={state.done} aria-label="Cells of the sweep" />
      <button type="button" onClick={stopSweep}>
        Stop
      </button>
    </span>
  );
}

/** Which sites are swept beside the heads. */
function Sites(): JSX.Element | null {
  const open = model.value;
  if (!open) return null;
  const chosen = chosenSites.value ?? open.moduleSites;
  const tower = open.towers.find(({ name }) => name === open.promptTower);
  const sites = (tower?.sites ?? []).filter(
    ({ site }) => !isOfMemory(site) && !/hook_(attn_scores|pattern)$/.test(site),
  );
  return (
    <details class="sites">
      <summary>Sites ({chosen.length})</summary>
      <fieldset>
        <legend>Modules whose every token is patched</legend>
        {sites.map(({ site }) => (
          <label key={site}>
            <input
              type="checkbox"
              checked={chosen.includes(site)}
              onChange={({ currentTarget: { checked } }) => {
                chosenSites.value = checked ? [...chosen, site] : chosen.filter((other) => other !== site);
              }}
            />{' '}
            {site}
          </label>
        ))}
      </fieldset>
    </details>
  );
}

function SiteView({ map, scale }: { readonly map: SiteMap; readonly scale: EffectScale }): JSX.Element[] {
  const tokens = pair.value?.tokens ?? [];
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
      />
    </article>
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
      />
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

function scaleOf(list: readonly SiteMap[]): EffectScale {
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
