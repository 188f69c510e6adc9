// Attention knock-out: edges from image patches or tokens to tokens are cut in chosen layers and heads.

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useId } from 'preact/hooks';
import type { ModelInfo, PromptToken } from '../protocol/session.ts';
import { model, pair } from '../state/app.ts';
import { keysOfPatches, painted } from '../state/painting.ts';
import { numbersIn } from '../state/pin-text.ts';
import { addPins } from '../state/pins.ts';

const attention = signal<string | undefined>(undefined);
/** Positions of tokens. */
const from = signal<readonly number[]>([]);
const to = signal<readonly number[]>([]);
const layers = signal('all');
const heads = signal('all');

export function CutForm(): JSX.Element | null {
  const [open, shown] = [model.value, pair.value];
  if (!open || !shown) return null;
  const names = attentionsOf(open);
  const name = names.find((one) => one === attention.value) ?? open.imageAttention;
  const tower = open.towers.find((one) => name.startsWith(`${one.name}.`));
  const readsImage = name === open.imageAttention;
  const readsTokens = !name.endsWith('.cross_attn');
  const keys = [...(readsImage ? keysOfPatches(painted.value) : []), ...(readsTokens ? from.value : [])];
  const chosen = {
    layers: numbersIn(layers.value, tower?.layers ?? 0),
    heads: numbersIn(heads.value, tower?.heads ?? 0),
  };
  const ready =
    keys.length > 0 && to.value.length > 0 && chosen.layers !== 'wrong' && chosen.heads !== 'wrong';
  const cut = () => {
    if (chosen.layers === 'wrong' || chosen.heads === 'wrong') return;
    addPins([
      { kind: 'cut', attention: name, from: keys, to: to.value, layers: chosen.layers, heads: chosen.heads },
    ]);
  };
  return (
    <details class="cut">
      <summary>Cut attention</summary>
      <label>
        Attention{' '}
        <select
          value={name}
          onChange={({ currentTarget }) => {
            attention.value = currentTarget.value;
          }}
        >
          {names.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </label>
      {readsImage && (
        <p class="note">
          {painted.value.length > 0
            ? `From the ${painted.value.length} painted patches`
            : 'From image patches: paint them above.'}
          {readsTokens && ', and from tokens:'}
        </p>
      )}
      {readsTokens && <Tokens legend="From" tokens={textOf(shown.tokens)} chosen={from} />}
      <Tokens legend="To" tokens={textOf(shown.tokens)} chosen={to} />
      <NumbersField name="Layers" value={layers} wrong={chosen.layers === 'wrong'} />
      <NumbersField name="Heads" value={heads} wrong={chosen.heads === 'wrong'} />
      <button type="button" disabled={!ready} onClick={cut}>
        Cut
      </button>
    </details>
  );
}

/** Attention of the tower that reads the prompt, and the one that reads the image. */
function attentionsOf({ towers, promptTower, imageAttention }: ModelInfo): string[] {
  const sites = towers.find(({ name }) => name === promptTower)?.sites ?? [];
  const own = sites.flatMap(({ site }) => /^(.*)\.hook_pattern$/.exec(site)?.[1] ?? []);
  return [...new Set([imageAttention, ...own])];
}

function textOf(tokens: readonly PromptToken[]): readonly PromptToken[] {
  return tokens.filter(({ role }) => role !== 'image');
}

/** Tokens as buttons that stay pressed. */
function Tokens({
  legend,
  tokens,
  chosen,
}: {
  readonly legend: string;
  readonly tokens: readonly PromptToken[];
  readonly chosen: { value: readonly number[] };
}): JSX.Element {
  return (
    <fieldset class="tokens">
      <legend>{legend}</legend>
      {tokens.map(({ position, text }) => {
        const on = chosen.value.includes(position);
        return (
          <button
            key={position}
            type="button"
            aria-pressed={on}
            onClick={() => {
              const others = chosen.value.filter((one) => one !== position);
              chosen.value = on ? others : [...others, position].sort((a, b) => a - b);
            }}
          >
            {text}
          </button>
        );
      })}
    </fieldset>
  );
}

function NumbersField({
  name,
  value,
  wrong,
}: {
  readonly name: string;
  readonly value: { value: string };
  readonly wrong: boolean;
}): JSX.Element {
  const help = useId();
  return (
    <label class="numbers">
      {name}{' '}
      <input
        type="text"
        size={8}
        value={value.value}
        aria-invalid={wrong}
        aria-describedby={wrong ? help : undefined}
        onInput={({ currentTarget }) => {
          value.value = currentTarget.value;
        }}
      />
      {wrong && <span id={help}> as in 0-3, 5; there are fewer</span>}
    </label>
  );
}
