// Every pair's value as a point on a line, with their mean and its interval.

import { scaleLinear } from 'd3-scale';
import type { JSX } from 'preact';
import { useRef } from 'preact/hooks';
import { signed } from './number-text.ts';
import { useWidth } from './use-width.ts';

export interface DotPlotProps {
  readonly title: string;
  readonly points: readonly { readonly id: string; readonly value: number }[];
  readonly summary?: { readonly mean: number; readonly low: number; readonly high: number } | undefined;
}

const RADIUS = 4;
const MARGIN = 16;

export function DotPlot({ title, points, summary }: DotPlotProps): JSX.Element {
  const frame = useRef<HTMLElement>(null);
  const width = Math.max(useWidth(frame), 120);
  const values = [0, ...points.map(({ value }) => value)];
  const x = scaleLinear([Math.min(...values), Math.max(...values)], [MARGIN, width - MARGIN]).nice();
  const levels = stacked(points.map(({ value }) => x(value)));
  const base = 24 + 2 * RADIUS * (1 + Math.max(0, ...levels));
  return (
    <figure class="dot-plot" ref={frame}>
      <svg role="img" aria-label={title} width={width} height={base + 36}>
        {summary && (
          <g class="mean">
            <line x1={x(summary.low)} x2={x(summary.high)} y1={10} y2={10} />
            <circle cx={x(summary.mean)} cy={10} r={5} />
          </g>
        )}
        <line class="zero" x1={x(0)} x2={x(0)} y1={0} y2={base + 6} />
        {points.map(({ id, value }, i) => (
          <circle
            key={id}
            class="point"
            cx={x(value)}
            cy={base - 2 * RADIUS * (levels[i] as number)}
            r={RADIUS}
          >
            <title>{`${id}: ${signed(value)}`}</title>
          </circle>
        ))}
        <line class="axis" x1={MARGIN} x2={width - MARGIN} y1={base + 6} y2={base + 6} />
        {x.ticks(Math.max(2, Math.floor(width / 90))).map((tick) => (
          <text key={tick} x={x(tick)} y={base + 22}>
            {tick}
          </text>
        ))}
      </svg>
    </figure>
  );
}

/** For points at these places how many lie below each, so that none covers another. */
function stacked(places: readonly number[]): number[] {
  const levels: number[] = [];
  places.forEach((place, i) => {
    const taken = new Set(
      levels.filter((_, j) => Math.abs((places[j] as number) - place) < 2 * RADIUS).map((level) => level),
    );
    let level = 0;
    while (taken.has(level)) level++;
    levels[i] = level;
  });
  return levels;
}
