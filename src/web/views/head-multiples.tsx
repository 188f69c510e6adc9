// All heads of a layer side by side, small.

import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { attentionScale } from '../../notice/plots/colors.ts';
import type { AttentionMap, HeadId } from '../../patching/attention-map.ts';
import { headName, largestGrid } from '../state/attention.ts';

type Scale = ReturnType<typeof attentionScale>;

export interface Multiple {
  readonly head: HeadId;
  readonly map: AttentionMap;
  /** What is said of it: its effect. */
  readonly note?: string | undefined;
}

export function HeadMultiples({
  multiples,
  scale,
  chosen,
  onChoose,
}: {
  readonly multiples: readonly Multiple[];
  readonly scale: Scale;
  readonly chosen: HeadId | undefined;
  readonly onChoose: (head: HeadId) => void;
}): JSX.Element {
  return (
    <ul class="multiples" aria-label="Heads">
      {multiples.map(({ head, map, note }) => (
        <li key={headName(head)}>
          <button
            type="button"
            aria-pressed={chosen?.layer === head.layer && chosen.head === head.head}
            onClick={() => onChoose(head)}
          >
            <SmallMap map={map} scale={scale} />
            <span>{headName(head)}</span>
            {note && <small>{note}</small>}
          </button>
        </li>
      ))}
    </ul>
  );
}

/** One pixel per patch, enlarged by the style sheet. */
function SmallMap({ map, scale }: { readonly map: AttentionMap; readonly scale: Scale }): JSX.Element | null {
  const canvas = useRef<HTMLCanvasElement>(null);
  const grid = map.grids[largestGrid(map.grids)];
  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context || !grid) return;
    grid.data.forEach((value, patch) => {
      context.fillStyle = scale.color(value);
      context.fillRect(patch % grid.columns, Math.floor(patch / grid.columns), 1, 1);
    });
  }, [grid, scale]);
  return grid ? <canvas ref={canvas} width={grid.columns} height={grid.rows} /> : null;
}
