// Where heads look: the map of a head, or of the pinned ones, over the picture, and all heads of a layer side by side.

import type { JSX } from 'preact';
import { useMemo, useRef, useState } from 'preact/hooks';
import { attentionScale } from '../../notice/plots/colors.ts';
import { attentionMapOf, type HeadId, type SampleAttention } from '../../patching/attention-map.ts';
import type { EditPin } from '../protocol/pins.ts';
import type { ModelInfo, PairInfo } from '../protocol/session.ts';
import { model, pair } from '../state/app.ts';
import {
  attentionTable,
  byEffect,
  defaultQueries,
  headName,
  headsAmong,
  headsOf,
  imageAttentions,
  largestGrid,
  largestValue,
  towerNameOf,
} from '../state/attention.ts';
import { activePins } from '../state/pins.ts';
import { headEffects } from '../state/sweep.ts';
import { ExportMenu } from './export-menu.tsx';
import { HeadMultiples } from './head-multiples.tsx';
import { Panel } from './layout.tsx';
import { signed } from './number-text.ts';
import { PictureMap } from './picture-map.tsx';
import { type RunChoice, RunSelect, runName, runSpec } from './run-choice.tsx';
import { useReading } from './use-reading.ts';
import './reading.css';

export function AttentionPanel(): JSX.Element {
  const [open, shown] = [model.value, pair.value];
  return (
    <Panel title="Attention">
      {open && shown ? (
        <AttentionView key={`${open.name} ${shown.length}`} model={open} pair={shown} />
      ) : (
        <p class="note">Open a model and a pair.</p>
      )}
    </Panel>
  );
}

type Box = readonly [number, number, number, number];

function AttentionView({ model, pair }: { readonly model: ModelInfo; readonly pair: PairInfo }): JSX.Element {
  const [attention, setAttention] = useState(model.imageAttention);
  const [run, setRun] = useState<RunChoice>({ run: 'clean', patched: false });
  const [queries, setQueries] = useState<readonly number[]>(defaultQueries(model, pair));
  const of = runSpec(run);
  const ofPatches = attention === 'vision.attn';
  const { result, busy, problem } = useReading('attention', { of, attention, from: queries }, [
    pair,
    JSON.stringify([of, attention, queries]),
  ]);
  const choose = (next: string) => {
    setAttention(next);
    // Of patches all, until one is clicked.
    setQueries(next === 'vision.attn' ? [] : defaultQueries(model, pair));
  };
  return (
    <>
      <div class="controls">
        <label>
          Site{' '}
          <select value={attention} onChange={({ currentTarget }) => choose(currentTarget.value)}>
            {imageAttentions(model).map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <RunSelect value={run} onChange={setRun} />
        {towerNameOf(attention) === model.promptTower && (
          <QuerySelect model={model} pair={pair} value={queries} onChange={setQueries} />
        )}
      </div>
      {ofPatches && (
        <p class="note">
          {queries.length === 0
            ? 'The mean over all positions of the vision tower. Click a patch to look from there.'
            : 'Seen from the outlined patch. Click another.'}
        </p>
      )}
      {problem && <p class="note">{problem}</p>}
      {result && (
        <Maps
          pair={pair}
          attention={result}
          name={attention}
          run={run}
          busy={busy}
          query={ofPatches ? queries[0] : undefined}
          onQuery={ofPatches ? (position) => setQueries([position]) : undefined}
        />
      )}
    </>
  );
}

/** The token that is looked from. */
function QuerySelect({
  model,
  pair,
  value,
  onChange,
}: {
  readonly model: ModelInfo;
  readonly pair: PairInfo;
  readonly value: readonly number[];
  readonly onChange: (positions: readonly number[]) => void;
}): JSX.Element {
  const paper = defaultQueries(model, pair);
  const choices = [
    { positions: paper, text: model.answers === 'continuation' ? 'the last position' : 'the correct option' },
    ...pair.tokens
      .filter(({ role }) => role !== 'image')
      .map(({ position, text }) => ({ positions: [position], text: `${position}: ${text}` })),
  ];
  return (
    <label>
      From{' '}
      <select
        value={value.join()}
        onChange={({ currentTarget }) => onChange(currentTarget.value.split(',').map(Number))}
      >
        {choices.map(({ positions, text }) => (
          <option key={text} value={positions.join()}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

interface MapsProps {
  readonly pair: PairInfo;
  readonly attention: SampleAttention;
  readonly name: string;
  readonly run: RunChoice;
  readonly busy: boolean;
  /** Of attention between patches the position that is looked from. */
  readonly query: number | undefined;
  readonly onQuery: ((position: number) => void) | undefined;
}

function Maps({ pair, attention, name, run, busy, query, onQuery }: MapsProps): JSX.Element {
  const [head, setHead] = useState<HeadId | 'pinned'>({ layer: attention.blocks.at(-1) ?? 0, head: 0 });
  const [minusMean, setMinusMean] = useState(false);
  const [box, setBox] = useState<Box>();
  const drawing = useRef<SVGSVGElement>(null);
  const pinned = headsAmong(
    activePins.value.filter((pin): pin is EditPin => pin.kind === 'edit'),
    name,
  );
  const known = (id: HeadId) => attention.blocks.includes(id.layer) && id.head < attention.heads;
  const first: HeadId = { layer: attention.blocks[0] ?? 0, head: 0 };
  const one = head === 'pinned' || !known(head) ? first : head;
  const shownHeads = head === 'pinned' && pinned.length > 0 ? pinned : [one];
  const picture = run.run === 'image' ? (pair.pictures.corrupt ?? pair.pictures.clean) : pair.pictures.clean;

  const map = attentionMapOf(attention, {
    head: shownHeads,
    minusMean,
    ...(box && box[2] > box[0] && box[3] > box[1] && attention.grids[0]?.box && { box: { box } }),
  });
  const maps = useMemo(
    () =>
      new Map(
        headsOf(attention).map((id) => [headName(id), attentionMapOf(attention, { head: id, minusMean })]),
      ),
    [attention, minusMean],
  );
  const grid = map.grids[largestGrid(map.grids)];
  const layer = attention.blocks.includes(one.layer) ? one.layer : first.layer;
  const inLayer = headsOf(attention).filter((id) => id.layer === layer);
  const scale = attentionScale(largestValue([map]));
  const shared = attentionScale(largestValue(inLayer.flatMap((id) => maps.get(headName(id)) ?? [])));
  const title = `Attention ${name} ${shownHeads.map(headName).join(' ')}${minusMean ? ' minus the mean' : ''}, ${runName(run)}`;
  const chosen = grid && query !== undefined ? grid.keys.indexOf(query) : -1;
  return (
    <div class="attention" aria-busy={busy}>
      <div class="controls">
        <label>
          Layer{' '}
          <select
            value={layer}
            onChange={({ currentTarget }) => setHead({ ...one, layer: Number(currentTarget.value) })}
          >
            {attention.blocks.map((block) => (
              <option key={block} value={block}>
                {block}
              </option>
            ))}
          </select>
        </label>
        <label>
          <input
            type="checkbox"
            checked={minusMean}
            onChange={({ currentTarget }) => setMinusMean(currentTarget.checked)}
          />{' '}
          minus the mean of all heads
        </label>
        {pinned.length > 0 && (
          <label>
            <input
              type="checkbox"
              checked={head === 'pinned'}
              onChange={({ currentTarget }) => setHead(currentTarget.checked ? 'pinned' : one)}
            />{' '}
            mean of pinned heads
          </label>
        )}
        <ExportMenu
          name={title}
          drawing={() => drawing.current}
          table={() => attentionTable(attention, name)}
        />
      </div>
      <div class="attention-maps">
        <PictureMap
          title={title}
          picture={picture}
          svgRef={drawing}
          grid={
            grid && {
              rows: grid.rows,
              columns: grid.columns,
              box: grid.box,
              color: (patch) =>
                `rgb(${scale
                  .rgb(grid.data[patch] ?? 0)
                  .map(Math.round)
                  .join(', ')})`,
              opacity: (patch) => scale.opacity(grid.data[patch] ?? 0),
              label: (patch) =>
                `row ${Math.floor(patch / grid.columns)}, column ${patch % grid.columns}: ${signed(grid.data[patch] ?? 0)}`,
            }
          }
          chosen={chosen >= 0 ? chosen : undefined}
          onChoose={onQuery && grid && ((patch) => onQuery(grid.keys[patch] as number))}
          box={box}
          onBox={setBox}
        />
        <div>
          <dl class="numbers">
            <dt>entropy</dt>
            <dd title="−Σ a ln a / ln patches: 0 one patch, 1 all alike">{map.entropy.toFixed(3)}</dd>
            <dt>on the image</dt>
            <dd>{map.imageMass.toFixed(3)}</dd>
            {map.inside !== undefined && map.chance !== undefined ? (
              <>
                <dt>in the box</dt>
                <dd>
                  {map.inside.toFixed(3)} (its area: {map.chance.toFixed(3)})
                </dd>
              </>
            ) : null}
          </dl>
          <BoxFields box={box} onBox={setBox} />
        </div>
      </div>
      <HeadMultiples
        multiples={byEffect(inLayer, (id) => effectOf(name, id)).flatMap((id) => {
          const [own, effect] = [maps.get(headName(id)), effectOf(name, id)];
          return own ? [{ head: id, map: own, note: effect === undefined ? undefined : signed(effect) }] : [];
        })}
        scale={shared}
        chosen={head === 'pinned' ? undefined : one}
        onChoose={setHead}
      />
    </div>
  );
}

/** What the last sweep measured of a head, if it swept this attention's. */
function effectOf(attention: string, { layer, head }: HeadId): number | undefined {
  const swept = headEffects.value;
  if (!swept?.site.startsWith(`${attention}.`)) return undefined;
  const effect = swept.effects[swept.layers.indexOf(layer) * swept.heads + head];
  return Number.isFinite(effect) ? effect : undefined;
}

/** The box in numbers, for those who do not draw. */
function BoxFields({
  box,
  onBox,
}: {
  readonly box: Box | undefined;
  readonly onBox: (box: Box | undefined) => void;
}): JSX.Element {
  const set = (side: number, value: number) => {
    const next = [...(box ?? [0, 0, 0, 0])];
    next[side] = value;
    onBox(next as unknown as Box);
  };
  return (
    <div class="box-fields">
      <p class="note">Drag over the picture to draw a box, or give its pixels:</p>
      {(['left', 'top', 'right', 'bottom'] as const).map((name, side) => (
        <label key={name}>
          {name}{' '}
          <input
            type="number"
            min={0}
            value={box?.[side] ?? 0}
            onInput={({ currentTarget }) => set(side, Number(currentTarget.value))}
          />
        </label>
      ))}
      {box && (
        <button type="button" onClick={() => onBox(undefined)}>
          No box
        </button>
      )}
    </div>
  );
}
