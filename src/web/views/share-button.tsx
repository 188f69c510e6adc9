// Copies a link to what the page shows.

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { link } from '../state/address.ts';
import { report } from '../state/app.ts';

const said = signal('');

export function ShareButton(): JSX.Element {
  const copy = async () => {
    if (!link.value) return;
    const { hash, leftOut } = link.value;
    try {
      await navigator.clipboard.writeText(`${location.href.split('#')[0]}#${hash}`);
      said.value = ['Link copied', ...leftOut.map((what) => `without ${what}`)].join(', ');
    } catch (cause) {
      report(
        new Error('The browser does not let the page copy: take the link from the address bar.', { cause }),
      );
    }
  };
  return (
    <span class="share">
      <button type="button" disabled={!link.value} onClick={() => void copy()}>
        Copy link
      </button>
      <span role="status">{said.value}</span>
    </span>
  );
}
