// Which model is open, and how another is opened.

import type { JSX } from 'preact';
import type { DeviceInfo } from '../protocol/session.ts';
import { loading, model, openModel } from '../state/app.ts';
import { plan } from '../state/model-choice.ts';
import { FolderChoice } from './folder-choice.tsx';
import { bytesText } from './format.ts';
import { HubForm } from './hub-form.tsx';
import { Panel } from './layout.tsx';
import { LoadProgressView } from './load-progress.tsx';
import { StoredFiles } from './stored-files.tsx';
import { WeightPlanView } from './weight-plan.tsx';
import './model.css';

/** The miniatures that lie beside the page. */
const EMBEDDED_MODELS = ['blip-shapes', 'llava-shapes', 'smolvlm-shapes'];

export function ModelPanel(): JSX.Element {
  return (
    <Panel title="Model">
      <OpenModelView />
      <div class="model-state">
        {loading.value ? (
          <LoadProgressView />
        ) : (
          <span class="note">{model.value?.device && `on ${deviceText(model.value.device)}`}</span>
        )}
      </div>
      <details>
        <summary>Another model</summary>
        <div class="model-choice">
          <p class="note">Model files, pictures and texts never leave this browser.</p>
          <EmbeddedModels />
          <FolderChoice />
          <HubForm />
          {plan.value && <WeightPlanView plan={plan.value} />}
          <StoredFiles />
        </div>
      </details>
    </Panel>
  );
}

function OpenModelView(): JSX.Element {
  const open = model.value;
  return (
    <p class="open-model">
      <b>{open?.name ?? 'no model'}</b>{' '}
      {open && (
        <span class="note">
          {open.family}, {open.towers.map(({ name, layers }) => `${name} ${layers}`).join(' · ')} layers,{' '}
          {bytesText(open.weightBytes)}
          {open.dtype !== 'as in the file' && ` as ${open.dtype}`}
        </span>
      )}
    </p>
  );
}

function deviceText({ software, description }: DeviceInfo): string {
  return software ? 'the processor (software adapter)' : description;
}

function EmbeddedModels(): JSX.Element {
  return (
    <label>
      Miniature
      <select
        value={model.value?.choice.kind === 'embedded' ? model.value.name : ''}
        onChange={({ currentTarget: { value } }) => {
          if (value) void openModel({ model: { kind: 'embedded', name: value } });
        }}
      >
        <option value="">choose</option>
        {EMBEDDED_MODELS.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}
