// How far a model is loaded, how fast, how long it will take.

import type { JSX } from 'preact';
import { loading } from '../state/app.ts';
import { cancelLoading } from '../state/model-choice.ts';
import { bytesText, secondsText } from './format.ts';

/** Before this there is no rate worth the name, in ms. */
const FIRST_RATE = 500;

export function LoadProgressView(): JSX.Element | null {
  const state = loading.value;
  if (!state) return null;
  const { loaded, total, since } = state;
  const elapsed = performance.now() - since;
  const rate = (1000 * loaded) / elapsed;
  return (
    <>
      <progress max={total} value={loaded} aria-label="Weights that are loaded" />
      <span class="note">
        {bytesText(loaded)} of {bytesText(total)}
        {elapsed > FIRST_RATE && loaded > 0
          ? `, ${bytesText(rate)}/s, ${secondsText((total - loaded) / rate)} left`
          : ''}
      </span>
      <button type="button" onClick={cancelLoading}>
        Cancel
      </button>
    </>
  );
}
