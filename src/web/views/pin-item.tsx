// One pinned item: switched on or off, what is done there, how much of it.

import type { JSX } from 'preact';
import type { EditPin, PatchesPin, Pin, PinOperation } from '../protocol/pins.ts';
import { model, pair } from '../state/app.ts';
import { pinText } from '../state/pin-text.ts';
import { changePin, removePins } from '../state/pins.ts';

/** What can be done, as it is said; with what a slider begins. */
const OPERATIONS: readonly { readonly title: string; readonly begin: PinOperation }[] = [
  { title: 'replace from the clean run', begin: { kind: 'replace' } },
  { title: 'zero', begin: { kind: 'zero' } },
  { title: 'mean', begin: { kind: 'mean' } },
  { title: 'scale', begin: { kind: 'scale', factor: 0.5 } },
  { title: 'interpolate to the clean run', begin: { kind: 'interpolate', share: 0.5 } },
  { title: 'add the clean run', begin: { kind: 'add', factor: 1 } },
];

const PATCH_OPERATIONS: Readonly<Record<PatchesPin['operation'], string>> = {
  zero: 'zero',
  mean: 'mean of the picture',
  restore: 'restore from the clean run',
};

export function PinItem({ pin }: { readonly pin: Pin }): JSX.Element {
  const shown = pair.value;
  const readsImage = pin.kind === 'cut' && pin.attention === model.value?.imageAttention;
  const patchKeys = readsImage ? (shown?.grids.flatMap(({ keys }) => keys) ?? []) : [];
  const text = pinText(pin, shown?.tokens ?? [], patchKeys);
  return (
    <li class={pin.on ? 'pin' : 'pin off'}>
      <label class="pin-name">
        <input
          type="checkbox"
          checked={pin.on}
          onChange={({ currentTarget }) => changePin(pin, { on: currentTarget.checked })}
        />{' '}
        {text}
      </label>
      <button type="button" aria-label={`Remove ${text}`} onClick={() => removePins([pin.id])}>
        ×
      </button>
      {pin.kind === 'edit' && <Operation pin={pin} text={text} />}
      {pin.kind === 'patches' && (
        <select
          aria-label={`Operation at ${text}`}
          value={pin.operation}
          onChange={({ currentTarget }) =>
            changePin(pin, { operation: currentTarget.value as PatchesPin['operation'] })
          }
        >
          {Object.entries(PATCH_OPERATIONS).map(([name, title]) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
        </select>
      )}
    </li>
  );
}

function Operation({ pin, text }: { readonly pin: EditPin; readonly text: string }): JSX.Element {
  const { operation } = pin;
  return (
    <>
      <select
        aria-label={`Operation at ${text}`}
        value={operation.kind}
        onChange={({ currentTarget }) => {
          const chosen = OPERATIONS.find(({ begin }) => begin.kind === currentTarget.value);
          if (chosen) changePin(pin, { operation: chosen.begin });
        }}
      >
        {OPERATIONS.map(({ title, begin }) => (
          <option key={begin.kind} value={begin.kind}>
            {title}
          </option>
        ))}
      </select>
      <Slider pin={pin} text={text} />
    </>
  );
}

/** How much of it, where an operation has an amount. */
function Slider({ pin, text }: { readonly pin: EditPin; readonly text: string }): JSX.Element | null {
  const { operation } = pin;
  const amount =
    operation.kind === 'interpolate' ? operation.share : 'factor' in operation ? operation.factor : undefined;
  if (amount === undefined) return null;
  const [min, max] = operation.kind === 'interpolate' ? [0, 1] : [-2, 2];
  const withAmount = (value: number): PinOperation => {
    if (operation.kind === 'interpolate') return { kind: 'interpolate', share: value };
    return { kind: operation.kind as 'scale' | 'add', factor: value };
  };
  return (
    <span class="amount">
      <input
        type="range"
        aria-label={`Amount at ${text}`}
        min={min}
        max={max}
        step={0.05}
        value={amount}
        onInput={({ currentTarget }) =>
          changePin(pin, { operation: withAmount(currentTarget.valueAsNumber) }, operation.kind)
        }
      />
      <output>{amount.toFixed(2)}</output>
    </span>
  );
}
