// What went wrong, with its cure: the page stays as it is.

import type { JSX } from 'preact';
import { problem, reopen } from '../state/app.ts';

/** Errors after which the model has to be opened once more. */
const REOPENED = ['device-lost', 'out-of-memory', 'adapter'];

export function ProblemView(): JSX.Element | null {
  const shown = problem.value;
  if (!shown) return null;
  return (
    <div class="problem">
      <p role="alert">{shown.message}</p>
      <span class="steps">
        {REOPENED.includes(shown.code ?? '') && (
          <button type="button" class="main" onClick={() => void reopen()}>
            Open again
          </button>
        )}
        <button
          type="button"
          aria-label="Close the message"
          onClick={() => {
            problem.value = undefined;
          }}
        >
          ×
        </button>
      </span>
    </div>
  );
}
