// A model of the Hugging Face hub, by its id.

import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { keepToken, keptToken } from '../state/hub-token.ts';
import { planModel } from '../state/model-choice.ts';

export function HubForm(): JSX.Element {
  const id = useSignal('');
  const token = useSignal(keptToken());
  const keep = useSignal(token.value !== '');
  const endpoint = useSignal('');
  const submit = (event: Event) => {
    event.preventDefault();
    keep.value = keepToken(keep.value ? token.value.trim() : undefined);
    void planModel({
      kind: 'hub',
      id: id.value.trim(),
      ...(token.value.trim() && { token: token.value.trim() }),
      ...(endpoint.value.trim() && { endpoint: endpoint.value.trim() }),
    });
  };
  return (
    <form onSubmit={submit}>
      <fieldset>
        <legend>Hugging Face hub</legend>
        <label>
          Model
          <input
            type="text"
            required
            placeholder="owner/name@revision"
            value={id.value}
            onInput={({ currentTarget }) => {
              id.value = currentTarget.value;
            }}
          />
        </label>
        <details>
          <summary>Access token, other hub</summary>
          <label>
            Token, for gated and private models
            <input
              type="password"
              autocomplete="off"
              value={token.value}
              onInput={({ currentTarget }) => {
                token.value = currentTarget.value;
              }}
            />
          </label>
          <label class="check">
            <input
              type="checkbox"
              checked={keep.value}
              onChange={({ currentTarget }) => {
                keep.value = currentTarget.checked;
              }}
            />{' '}
            keep the token in this browser
          </label>
          <p class="note">The token goes to the hub’s host alone.</p>
          <label>
            Address of a hub on this machine
            <input
              type="url"
              placeholder="https://huggingface.co"
              value={endpoint.value}
              onInput={({ currentTarget }) => {
                endpoint.value = currentTarget.value;
              }}
            />
          </label>
        </details>
        <button type="submit">See what it takes</button>
      </fieldset>
    </form>
  );
}
