// On a narrow page, what the patched run answers stays in sight below the maps.

import type { JSX } from 'preact';
import { pair } from '../state/app.ts';
import { corruption, patched } from '../state/patched.ts';
import { signed } from './number-text.ts';

/** Hidden from screen readers, which are told by the patched run itself. */
export function PatchBar(): JSX.Element | null {
  const before = pair.value?.corrupt[corruption.value];
  const after = patched.value;
  if (!before || !after) return null;
  return (
    <p class="patch-bar" aria-hidden="true">
      <span>
        {before.top[0]?.token} → <b>{after.top[0]?.token}</b>
      </span>
      <span>
        LD {signed(before.logitDifference, 2)} → <b>{signed(after.logitDifference, 2)}</b>
      </span>
    </p>
  );
}
