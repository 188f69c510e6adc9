// Sweep maps of both corruptions side by side: what is swept, how far it is, and what the numbers are.

import type { JSX } from 'preact';
import { isOfMemory } from '../../patching/names.ts';
import { model, pair } from '../state/app.ts';
import {
  chosenSites,
  type MetricName,
  maps,
  metric,
  noiseFloor,
  stopSweep,
  sweeping,
  sweepNow,
} from '../state/sweep.ts';
import { Panel } from './layout.tsx';
import { SiteView, scaleOf } from './site-maps.tsx';
import { METRIC_TITLES } from './sweep-text.ts';
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
