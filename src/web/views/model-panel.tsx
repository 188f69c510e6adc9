// Which model is open, and how another is opened.

import type { JSX } from 'preact';
import { loading, model, openModel } from '../state/app.ts';
import { Panel } from './layout.tsx';

/** The miniatures that lie beside the page. */
export const EMBEDDED_MODELS = ['blip-shapes', 'llava-shapes', 'smolvlm-shapes'] as const;

export function ModelPanel(): JSX.Element {
  const open = model.value;
  return (
    <Panel title="Model">
      <label>
        Miniature{' '}
        <select
          value={open?.name}
          onChange={({ currentTarget }) =>
            void openModel({ model: { kind: 'embedded', name: currentTarget.value } })
          }
        >
          {EMBEDDED_MODELS.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      {open && (
        <p class="note">
          {open.family} · {(open.weightBytes / 2 ** 20).toFixed(1)} MiB on {open.device?.description}
        </p>
      )}
      {loading.value && <progress max={loading.value.total} value={loading.value.bytes} />}
    </Panel>
  );
}
