// A brush on the picture of the patched run: patches that are painted are cut out, or restored.

import type { JSX } from 'preact';
import { useRef } from 'preact/hooks';
import { pair } from '../state/app.ts';
import { paint, painted, pinPainted } from '../state/painting.ts';
import { corruption } from '../state/patched.ts';
import { PictureMap } from './picture-map.tsx';

export function PatchBrush(): JSX.Element | null {
  const shown = pair.value;
  /** Whether the stroke that is under way paints or takes paint off. */
  const paints = useRef(true);
  if (!shown || shown.grids.length === 0) return null;
  const { pictures, grids } = shown;
  const picture = corruption.value === 'image' ? (pictures.corrupt ?? pictures.clean) : pictures.clean;
  const chosen = new Set(painted.value);
  let before = 0;
  return (
    <details class="brush">
      <summary>Image patches ({painted.value.length} painted)</summary>
      <p class="note">Paint over patches as the attention that reads the image sees them.</p>
      {grids.map(({ rows, columns, box }) => {
        const first = before;
        before += rows * columns;
        return (
          <PictureMap
            key={first}
            title={`Brush, patched run, ${rows} × ${columns} patches`}
            picture={picture}
            grid={{
              rows,
              columns,
              box,
              color: (patch) => (chosen.has(first + patch) ? 'rgb(230, 97, 1)' : 'transparent'),
              label: (patch) =>
                `row ${Math.floor(patch / columns)}, column ${patch % columns}${chosen.has(first + patch) ? ', painted' : ''}`,
            }}
            onPaint={(patch, begins) => {
              if (begins) paints.current = !chosen.has(first + patch);
              paint(first + patch, paints.current);
            }}
          />
        );
      })}
      <fieldset class="steps">
        <legend>Painted patches become</legend>
        <Pin operation="zero" title="Zero" />
        <Pin operation="mean" title="Mean of the picture" />
        <Pin operation="restore" title="Restore" />
        <button
          type="button"
          disabled={painted.value.length === 0}
          onClick={() => {
            painted.value = [];
          }}
        >
          Wipe
        </button>
      </fieldset>
    </details>
  );
}

function Pin({
  operation,
  title,
}: {
  readonly operation: Parameters<typeof pinPainted>[0];
  readonly title: string;
}): JSX.Element {
  return (
    <button type="button" disabled={painted.value.length === 0} onClick={() => pinPainted(operation)}>
      {title}
    </button>
  );
}
