// A table of numbers as colours: read by hover, by focus and by screen readers, walked with the arrow keys. Cells are chosen by
// click, Enter or Space; several by dragging over them or by Shift and the arrow keys.

// biome-ignore-all lint/a11y/useSemanticElements: an image that can be saved has no table elements
// biome-ignore-all lint/a11y/noNoninteractiveElementToInteractiveRole: the same
// biome-ignore-all lint/a11y/noAriaHiddenOnFocusable: a label of the axis cannot be focused

import { useRef, useState } from 'preact/hooks';
import { type EffectScale, effectScale, labelColor } from '../../notice/plots/colors.ts';
import { ColorBar } from './color-bar.tsx';
import { dropTarget, showDragged } from './dragging.ts';
import { type CellPlace, cellsOf, keyMove, type Rectangle, rectangleOf } from './grid-cells.ts';
import { signed } from './number-text.ts';
import { useWidth } from './use-width.ts';
import './heat-map.css';

export interface HeatMapProps {
  /** Accessible name. */
  readonly title: string;
  /** [row, column], row by row; NaN where nothing is known (yet). */
  readonly values: ArrayLike<number>;
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** What a row and a column is: `token`, `layer`. */
  readonly rowName: string;
  readonly columnName: string;
  /** Default: blue, near-white, red around 0, as far as the largest of the values. */
  readonly scale?: EffectScale;
  readonly format?: (value: number) => string;
  /** Text inside a cell. */
  readonly text?: (row: number, column: number) => string | undefined;
  /** What is said of a cell beside its row, column and value. */
  readonly note?: (row: number, column: number) => string | undefined;
  /** Which cells are pinned. */
  readonly pinned?: (row: number, column: number) => boolean;
  /** A cell or a rectangle of cells was chosen. */
  readonly onPick?: (cells: readonly CellPlace[]) => void;
  /** A cell was dragged onto an element that has this name as `data-drop`. */
  readonly onDrop?: (cell: CellPlace, onto: string) => void;
  /** Gets the drawing, for files. */
  readonly svgRef?: { current: SVGSVGElement | null };
  /** Widest that a cell gets, in pixels. */
  readonly cellSize?: number;
}

const LABEL = 11; // font size
const AXIS = 34; // room for the columns' labels and their name
const ROW = 22;

export function HeatMap(props: HeatMapProps) {
  const { title, values, rows, columns, rowName, columnName, format = signed, text, note, pinned } = props;
  const { onPick, onDrop, cellSize = 34 } = props;
  const frame = useRef<HTMLElement>(null);
  const width = useWidth(frame);
  const [focus, setFocus] = useState<CellPlace>({ row: 0, column: 0 });
  const [looked, setLooked] = useState<CellPlace | undefined>(undefined);
  const [region, setRegion] = useState<Rectangle | undefined>(undefined);
  const dragged = useRef<CellPlace | undefined>(undefined);

  const scale = props.scale ?? effectScale(finite(values), true);
  const at = ({ row, column }: CellPlace) => values[row * columns.length + column] as number;
  const label = Math.min(6.9 * Math.max(4, ...rows.map((row) => row.length)) + 8, 118);
  const cell = Math.max(7, Math.min(cellSize, (width - label - 2) / columns.length));
  const every = Math.ceil((7 * Math.max(...columns.map((column) => column.length)) + 4) / cell);
  const said = (place: CellPlace) =>
    [
      `${rowName} ${rows[place.row]}`,
      `${columnName} ${columns[place.column]}`,
      format(at(place)),
      note?.(place.row, place.column),
      pinned?.(place.row, place.column) ? 'pinned' : undefined,
    ]
      .filter(Boolean)
      .join(', ');
  const focusAt = (place: CellPlace) => {
    setFocus(place);
    const cells = frame.current?.querySelectorAll<SVGElement>('[role=gridcell]');
    cells?.[place.row * columns.length + place.column]?.focus();
  };
  const pick = (cells: readonly CellPlace[]) => {
    setRegion(undefined);
    onPick?.(cells);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if ((event.key === 'Enter' || event.key === ' ') && onPick) {
      event.preventDefault();
      return pick(region ? cellsOf(region) : [focus]);
    }
    if (event.key === 'Escape') return setRegion(undefined);
    const next = keyMove(event, focus, rows.length, columns.length);
    if (!next) return;
    event.preventDefault();
    setRegion(event.shiftKey && onPick ? rectangleOf(region?.from ?? focus, next) : undefined);
    focusAt(next);
  };
  const onPointerDown = (event: PointerEvent) => {
    const place = placeOf(event.target);
    if (!place || event.button !== 0) return;
    dragged.current = place;
    // A finger is captured by what it touches first; the cells below it are to be told as well.
    (event.target as Element).releasePointerCapture?.(event.pointerId);
    setFocus(place);
    const move = (moved: PointerEvent) => {
      const onto = onDrop && dropTarget(moved);
      showDragged(moved, onto ? said(place) : undefined);
      const over = placeOf(document.elementFromPoint(moved.clientX, moved.clientY), frame.current);
      if (over && onPick) setRegion(rectangleOf(place, over));
    };
    const end = (ended: PointerEvent) => {
      removeEventListener('pointermove', move);
      removeEventListener('pointerup', end);
      removeEventListener('pointercancel', end);
      showDragged(ended, undefined);
      dragged.current = undefined;
      setRegion(undefined);
      if (ended.type === 'pointercancel') return;
      const onto = onDrop && dropTarget(ended);
      if (onto) return onDrop(place, onto);
      const over = placeOf(document.elementFromPoint(ended.clientX, ended.clientY), frame.current);
      if (over) pick(cellsOf(rectangleOf(place, over)));
    };
    addEventListener('pointermove', move);
    addEventListener('pointerup', end);
    addEventListener('pointercancel', end);
  };

  return (
    <figure class="heat-map" ref={frame}>
      <svg
        ref={props.svgRef}
        role="grid"
        aria-label={title}
        aria-rowcount={rows.length}
        aria-colcount={columns.length}
        aria-multiselectable={onPick ? 'true' : undefined}
        width={label + cell * columns.length + 2}
        height={ROW * rows.length + AXIS}
        onKeyDown={onKeyDown}
        onPointerDown={onPointerDown}
        onPointerOver={(event) => setLooked(placeOf(event.target))}
        onPointerLeave={() => setLooked(undefined)}
      >
        {rows.map((name, row) => (
          <g role="row" key={row} aria-rowindex={row + 1}>
            <text role="rowheader" class="row-label" x={label - 6} y={ROW * row + ROW / 2} font-size={LABEL}>
              {shortened(name, label)}
            </text>
            {columns.map((_, column) => {
              const place = { row, column };
              const value = at(place);
              const inside = text?.(row, column);
              return (
                <g
                  role="gridcell"
                  key={column}
                  aria-label={said(place)}
                  aria-selected={onPick ? Boolean(pinned?.(row, column)) : undefined}
                  aria-colindex={column + 1}
                  tabIndex={focus.row === row && focus.column === column ? 0 : -1}
                  data-row={row}
                  data-column={column}
                  class={cellClass(region && contains(region, place), value)}
                  onFocus={() => {
                    setFocus(place);
                    setLooked(place);
                  }}
                  onBlur={() => setLooked(undefined)}
                >
                  <rect
                    x={label + cell * column}
                    y={ROW * row}
                    width={cell}
                    height={ROW}
                    fill={Number.isFinite(value) ? scale.color(value) : undefined}
                  />
                  {pinned?.(row, column) && (
                    <rect
                      class="pin-mark"
                      x={label + cell * column + 2.5}
                      y={ROW * row + 2.5}
                      width={Math.max(cell - 5, 2)}
                      height={ROW - 5}
                      stroke={labelColor(Number.isFinite(value) ? value : 0, scale)}
                    />
                  )}
                  {inside && (
                    <text
                      class="inside"
                      fill={labelColor(value, scale)}
                      x={label + cell * (column + 0.5)}
                      y={ROW * (row + 0.5)}
                      font-size={LABEL}
                    >
                      {shortened(inside, cell)}
                    </text>
                  )}
                </g>
              );
            })}
          </g>
        ))}
        {looked && (
          <rect
            class="ring"
            x={label + cell * looked.column}
            y={ROW * looked.row}
            width={cell}
            height={ROW}
          />
        )}
        <g aria-hidden="true">
          {columns.map((name, column) =>
            column % every === 0 ? (
              <text
                class="column-label"
                key={column}
                x={label + cell * (column + 0.5)}
                y={ROW * rows.length + 13}
                font-size={LABEL}
              >
                {name}
              </text>
            ) : null,
          )}
          <text
            class="column-label"
            x={label + (cell * columns.length) / 2}
            y={ROW * rows.length + 28}
            font-size={LABEL}
          >
            {columnName}
          </text>
        </g>
      </svg>
      <figcaption aria-hidden="true">{looked ? said(looked) : '\u00a0'}</figcaption>
      <ColorBar scale={scale} format={format} />
    </figure>
  );
}

function* finite(values: ArrayLike<number>): Generator<number> {
  for (let i = 0; i < values.length; i++) if (Number.isFinite(values[i])) yield values[i] as number;
}

function shortened(text: string, width: number): string {
  const room = Math.max(1, Math.floor(width / 6.9));
  return text.length <= room ? text : `${text.slice(0, Math.max(1, room - 1))}…`;
}

function cellClass(inRegion: boolean | undefined, value: number): string {
  return `cell${inRegion ? ' in-region' : ''}${Number.isFinite(value) ? '' : ' unknown'}`;
}

function contains({ first, last }: Rectangle, { row, column }: CellPlace): boolean {
  return row >= first.row && row <= last.row && column >= first.column && column <= last.column;
}

/** The cell that an element belongs to, of any map or of the one inside `frame`. */
function placeOf(target: EventTarget | null, frame?: Element | null): CellPlace | undefined {
  const cell = target instanceof Element ? target.closest<SVGElement>('[role=gridcell]') : undefined;
  if (!cell || (frame && !frame.contains(cell))) return undefined;
  return { row: Number(cell.dataset.row), column: Number(cell.dataset.column) };
}
