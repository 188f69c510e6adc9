// Puts a text on the clipboard, and says so.

import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import { report } from '../state/app.ts';

/** How long it says that it did, in ms. */
const SAID = 2000;

export function CopyButton({
  text,
  disabled = false,
  children,
}: {
  readonly text: () => string | Promise<string>;
  readonly disabled?: boolean;
  readonly children: ComponentChildren;
}): JSX.Element {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(await text());
      setCopied(true);
      setTimeout(() => setCopied(false), SAID);
    } catch (error) {
      report(error);
    }
  };
  return (
    <button type="button" disabled={disabled} onClick={() => void copy()}>
      <span aria-live="polite">{copied ? 'Copied' : children}</span>
    </button>
  );
}
