// A picture with a map of its patches over it. Patches can be chosen or painted, by pointer or keyboard, and a box be drawn.

import type { JSX } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';

export interface PictureGrid {
  readonly rows: number;
  readonly columns: number;
  /** The part of the picture that the grid covers, in its pixels; default all. */
  readonly box?: readonly [number, number, number, number] | undefined;
  /** By row and column, row by row: CSS colour and what to say of the patch. */
  readonly color: (patch: number) => string;
  readonly label: (patch: number) => string;
  /** How strongly the colour covers the patch, of a picture in grey; left out: the same everywhere, over its own colours. */
  readonly opacity?: (patch: number) => number;
  /** Patches that are marked. */
  readonly mark?: (patch: number) => boolean;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

type Box = readonly [left: number, top: number, right: number, bottom: number];

export interface PictureMapProps {
  /** For screen readers and as name of the exported file. */
  readonly title: string;
  readonly picture: Blob | undefined;
  readonly grid: PictureGrid | undefined;
  readonly chosen?: number | undefined;
  readonly onChoose?: (patch: number) => void;
  /** Told of every patch that the pointer goes over while it is down, and of one at which Enter is pressed. */
  readonly onPaint?: (patch: number, begins: boolean) => void;
  /** In pixels of the picture; with `onBox` dragging draws another. */
  readonly box?: Box | undefined;
  readonly onBox?: (box: Box | undefined) => void;
  /** Gets the drawing, for files. */
  readonly svgRef?: { current: SVGSVGElement | null };
}

/** How strongly the map covers the picture. */
const ALPHA = 0.55;

export function PictureMap(props: PictureMapProps): JSX.Element {
  const { title, picture, grid, chosen, onChoose, onPaint, box, onBox, svgRef } = props;
  const own = useRef<SVGSVGElement>(null);
  const svg = svgRef ?? own;
  const { url, size } = usePicture(picture);
  const grey = useId();
  const [pointed, setPointed] = useState<number>();
  const start = useRef<readonly [number, number] | undefined>(undefined);
  const { width, height } = size;
  const [left, top, right, bottom] = grid?.box ?? [0, 0, width, height];
  const columns = grid?.columns ?? 1;
  const rows = grid?.rows ?? 1;
  const [stepX, stepY] = [(right - left) / columns, (bottom - top) / rows];

  const pixelOf = (event: PointerEvent): readonly [number, number] => {
    const area = svg.current?.getBoundingClientRect() ?? { left: 0, top: 0, width: 1, height: 1 };
    const x = ((event.clientX - area.left) / area.width) * width;
    const y = ((event.clientY - area.top) / area.height) * height;
    return [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
  };
  const patchAt = ([x, y]: readonly [number, number]) => {
    const [column, row] = [Math.floor((x - left) / stepX), Math.floor((y - top) / stepY)];
    return column >= 0 && column < columns && row >= 0 && row < rows ? row * columns + column : undefined;
  };
  const onPointerMove = (event: PointerEvent) => {
    const at = pixelOf(event);
    const over = patchAt(at);
    const from = start.current;
    if (from && over !== undefined && over !== pointed) onPaint?.(over, false);
    setPointed(over);
    if (!from || !onBox || Math.hypot(at[0] - from[0], at[1] - from[1]) < stepX / 3) return;
    onBox([
      Math.round(Math.min(from[0], at[0])),
      Math.round(Math.min(from[1], at[1])),
      Math.round(Math.max(from[0], at[0])),
      Math.round(Math.max(from[1], at[1])),
    ]);
  };
  const onPointerUp = (event: PointerEvent) => {
    const from = start.current;
    start.current = undefined;
    const patch = patchAt(pixelOf(event));
    if (from && patch !== undefined && patch === patchAt(from)) onChoose?.(patch);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const now = pointed ?? chosen ?? 0;
    const [row, column] = [Math.floor(now / columns), now % columns];
    const next: readonly [number, number] | undefined = (
      {
        ArrowLeft: [row, Math.max(column - 1, 0)],
        ArrowRight: [row, Math.min(column + 1, columns - 1)],
        ArrowUp: [Math.max(row - 1, 0), column],
        ArrowDown: [Math.min(row + 1, rows - 1), column],
      } as const
    )[event.key as 'ArrowLeft'];
    if (next) setPointed(next[0] * columns + next[1]);
    else if ((event.key === 'Enter' || event.key === ' ') && (onChoose || onPaint)) {
      onChoose?.(now);
      onPaint?.(now, true);
    } else return;
    event.preventDefault();
  };
  const rect = (patch: number) => ({
    x: left + (patch % columns) * stepX,
    y: top + Math.floor(patch / columns) * stepY,
    width: stepX,
    height: stepY,
  });
  const shown = pointed ?? chosen;
  return (
    <figure class="picture-map">
      <svg
        ref={svg}
        role="application"
        aria-label={`${title}. Arrow keys move over the patches${onChoose ? ', Enter chooses one' : ''}${onPaint ? ', Enter paints one' : ''}.`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys move over the patches
        tabIndex={0}
        viewBox={`0 0 ${width} ${height}`}
        onPointerDown={(event) => {
          start.current = pixelOf(event);
          event.currentTarget.setPointerCapture(event.pointerId);
          const patch = patchAt(start.current);
          setPointed(patch);
          if (patch !== undefined) onPaint?.(patch, true);
        }}
        onPointerMove={onPointerMove}
        onPointerUp={onPointerUp}
        onPointerLeave={() => setPointed(undefined)}
        onBlur={() => setPointed(undefined)}
        onKeyDown={onKeyDown}
      >
        <filter id={grey}>
          <feColorMatrix type="saturate" values="0" />
        </filter>
        {url && (
          <image
            href={url}
            width={width}
            height={height}
            preserveAspectRatio="none"
            filter={grid?.opacity ? `url(#${grey})` : undefined}
          />
        )}
        {grid && (
          <g shape-rendering="crispEdges">
            {Array.from({ length: rows * columns }, (_, patch) => (
              <rect
                key={patch}
                {...rect(patch)}
                fill={grid.color(patch)}
                fill-opacity={grid.opacity?.(patch) ?? ALPHA}
              />
            ))}
          </g>
        )}
        {grid?.mark &&
          Array.from({ length: rows * columns }, (_, patch) => patch)
            .filter(grid.mark)
            .map((patch) => <Outline key={patch} {...rect(patch)} unit={stepX / 24} />)}
        {grid && chosen !== undefined && <Outline {...rect(chosen)} unit={stepX / 12} />}
        {grid && pointed !== undefined && <Outline {...rect(pointed)} unit={stepX / 20} />}
        {box && (
          <Outline
            x={box[0]}
            y={box[1]}
            width={box[2] - box[0]}
            height={box[3] - box[1]}
            unit={width / 120}
          />
        )}
      </svg>
      <figcaption aria-live="polite">
        {(grid && shown !== undefined && grid.label(shown)) || '\u00a0'}
      </figcaption>
    </figure>
  );
}

/** Black under yellow: seen on every colour of the map. */
function Outline({
  unit,
  ...place
}: {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly unit: number;
}): JSX.Element {
  return (
    <>
      <rect {...place} fill="none" stroke="black" stroke-width={2 * unit} />
      <rect {...place} fill="none" stroke="#ffd400" stroke-width={unit} />
    </>
  );
}

/** A picture's address while it is shown, and its size in pixels. */
function usePicture(picture: Blob | undefined): { readonly url: string | undefined; readonly size: Size } {
  const [state, setState] = useState<{ url: string | undefined; size: Size }>({
    url: undefined,
    size: { width: 1, height: 1 },
  });
  useEffect(() => {
    if (!picture) return;
    const url = URL.createObjectURL(picture);
    const image = new Image();
    image.onload = () => setState({ url, size: { width: image.naturalWidth, height: image.naturalHeight } });
    image.src = url;
    return () => {
      image.onload = null;
      URL.revokeObjectURL(url);
    };
  }, [picture]);
  return state;
}
