// What the residual stream says after each layer: the most probable tokens by layer and position, and over the picture where
// its features are among the positions.

import type { JSX } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { type EffectScale, effectScale } from '../../notice/plots/colors.ts';
import type { LensReading } from '../protocol/reading.ts';
import type { ModelInfo, PairInfo } from '../protocol/session.ts';
import { model, pair } from '../state/app.ts';
import { largestGrid } from '../state/attention.ts';
import { type LensColor, lensCell, lensTable, outlyingNorms, rankShade } from '../state/lens.ts';
import { ExportMenu } from './export-menu.tsx';
import { HeatMap } from './heat-map.tsx';
import { Panel } from './layout.tsx';
import { PictureMap } from './picture-map.tsx';
import { type RunChoice, RunSelect, runName, runSpec } from './run-choice.tsx';
import { useReading } from './use-reading.ts';
import './reading.css';

export function LensPanel(): JSX.Element {
  const [open, shown] = [model.value, pair.value];
  return (
    <Panel title="Logit lens">
      {open && shown ? (
        <LensView key={open.name} model={open} pair={shown} />
      ) : (
        <p class="note">Open a model and a pair.</p>
      )}
    </Panel>
  );
}

function LensView({ model, pair }: { readonly model: ModelInfo; readonly pair: PairInfo }): JSX.Element {
  const [tower, setTower] = useState(model.towers.at(-1)?.name ?? '');
  const [run, setRun] = useState<RunChoice>({ run: 'clean', patched: false });
  const [token, setToken] = useState('');
  const of = runSpec(run);
  const wanted = token.trim() === '' ? pair.correct : token;
  const { result, busy, problem } = useReading('lens', { of, tower, token: wanted }, [
    pair,
    JSON.stringify([of, tower, wanted]),
  ]);
  return (
    <>
      <p class="note">
        The residual stream after each layer, read by the model’s own last norm and head (nostalgebraist
        2020): what it would answer there. ▲ marks positions whose norm stands out (a first token, registers):
        their stream is no prediction.
      </p>
      <div class="controls">
        <label>
          Tower{' '}
          <select value={tower} onChange={({ currentTarget }) => setTower(currentTarget.value)}>
            {model.towers.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <RunSelect value={run} onChange={setRun} />
        <label>
          Rank of{' '}
          <input
            type="text"
            value={token}
            placeholder={pair.spec.correct}
            onChange={({ currentTarget }) => setToken(currentTarget.value)}
          />
        </label>
      </div>
      {problem && <p class="note">{problem}</p>}
      {result && <Lens reading={result} pair={pair} run={run} busy={busy} />}
    </>
  );
}

interface LensProps {
  readonly reading: LensReading;
  readonly pair: PairInfo;
  readonly run: RunChoice;
  readonly busy: boolean;
}

/** From 0 to 1. */
const SHARES: EffectScale = effectScale([1], false);

function Lens({ reading, pair, run, busy }: LensProps): JSX.Element {
  const [color, setColor] = useState<LensColor>('probability');
  const [perLayer, setPerLayer] = useState(false);
  const table = useRef<HTMLDivElement>(null);
  const { lens, tokens } = reading;
  const columns = tokens.map(({ position }) => lens.positions.indexOf(position));
  const shade = shades(reading, color, perLayer);
  const outlying = lens.layers.map((_, layer) => outlyingNorms(reading, layer));
  const title = `Logit lens, ${lens.hook}, ${runName(run)}`;
  const say = (layer: number, position: number) =>
    sayCell(reading, layer, position, outlying[layer]?.[position]);
  return (
    <div aria-busy={busy}>
      <div class="controls">
        <label>
          Colour{' '}
          <select value={color} onChange={({ currentTarget }) => setColor(currentTarget.value as LensColor)}>
            <option value="probability">probability of the likeliest token</option>
            <option value="rank">rank of {reading.texts.get(reading.token)}</option>
          </select>
        </label>
        <label>
          <input
            type="checkbox"
            checked={perLayer}
            onChange={({ currentTarget }) => setPerLayer(currentTarget.checked)}
          />{' '}
          a scale for each layer
        </label>
        <ExportMenu
          name={title}
          drawing={() => table.current?.querySelector<SVGSVGElement>('svg[role=grid]')}
          table={() => lensTable(reading)}
        />
      </div>
      <div class="scrolling lens-map" ref={table}>
        <HeatMap
          title={title}
          rowName="layer"
          columnName="token"
          rows={lens.layers.map(String)}
          columns={tokens.map(({ text }) => text)}
          values={lens.layers.flatMap((_, layer) => columns.map((position) => shade(layer, position)))}
          scale={SHARES}
          format={(value) => value.toFixed(2)}
          cellSize={64}
          text={(layer, column) => {
            const position = columns[column] as number;
            const [best] = lensCell(reading, layer, position).top;
            return `${outlying[layer]?.[position] ? '▲' : ''}${best?.text ?? ''}`;
          }}
          note={(layer, column) => say(layer, columns[column] as number)}
        />
      </div>
      {reading.grids.length > 0 && (
        <OverPicture reading={reading} pair={pair} run={run} shade={shade} say={say} outlying={outlying} />
      )}
    </div>
  );
}

function sayCell(reading: LensReading, layer: number, position: number, outlying = false): string {
  const { top, rank, tokenProbability, norm } = lensCell(reading, layer, position);
  const list = top.map(({ text, p }) => `${text} ${p.toFixed(3)}`).join(', ');
  const chosen = `${reading.texts.get(reading.token)}: rank ${rank}, p ${tokenProbability.toFixed(3)}`;
  return `${list}; ${chosen}; norm ${norm.toPrecision(3)}${outlying ? ' (stands out)' : ''}`;
}

/** How strongly a cell is coloured, from 0 to 1: of the whole lens or of its layer. */
function shades(
  reading: LensReading,
  color: LensColor,
  perLayer: boolean,
): (layer: number, position: number) => number {
  const { lens } = reading;
  const all = lens.layers.map((_, layer) =>
    lens.positions.map((_, position) => {
      const { top, rank } = lensCell(reading, layer, position);
      return color === 'rank' ? rank : (top[0]?.p ?? 0);
    }),
  );
  const largest = all.map((values) => Math.max(...values));
  const most = Math.max(...largest);
  return (layer, position) => {
    const value = all[layer]?.[position] ?? 0;
    const end = perLayer ? (largest[layer] ?? 0) : most;
    return color === 'rank' ? rankShade(value, end) : value / (perLayer ? end || 1 : 1);
  };
}

function OverPicture({
  reading,
  pair,
  run,
  shade,
  say,
  outlying,
}: Omit<LensProps, 'busy'> & {
  readonly shade: (layer: number, position: number) => number;
  readonly say: (layer: number, position: number) => string;
  readonly outlying: readonly (readonly boolean[])[];
}): JSX.Element | null {
  const { lens, grids } = reading;
  const [chosen, setLayer] = useState(lens.layers.length - 1);
  const layer = Math.min(chosen, lens.layers.length - 1);
  const drawing = useRef<SVGSVGElement>(null);
  const grid = grids[largestGrid(grids)];
  if (!grid) return null;
  const at = (patch: number) => lens.positions.indexOf(grid.keys[patch] as number);
  const picture = run.run === 'image' ? (pair.pictures.corrupt ?? pair.pictures.clean) : pair.pictures.clean;
  const title = `Logit lens over the picture, layer ${lens.layers[layer]}, ${runName(run)}`;
  return (
    <section aria-label="Over the picture">
      <h3>Over the picture</h3>
      <div class="controls">
        <label>
          Layer{' '}
          <select value={layer} onChange={({ currentTarget }) => setLayer(Number(currentTarget.value))}>
            {lens.layers.map((block, i) => (
              <option key={block} value={i}>
                {block}
              </option>
            ))}
          </select>
        </label>
        <ExportMenu name={title} drawing={() => drawing.current} table={() => lensTable(reading)} />
      </div>
      <PictureMap
        title={title}
        picture={picture}
        svgRef={drawing}
        grid={{
          rows: grid.rows,
          columns: grid.columns,
          box: grid.box,
          color: (patch) => SHARES.color(shade(layer, at(patch))),
          label: (patch) =>
            `row ${Math.floor(patch / grid.columns)}, column ${patch % grid.columns}: ${say(layer, at(patch))}`,
          mark: (patch) => outlying[layer]?.[at(patch)] ?? false,
        }}
      />
    </section>
  );
}
