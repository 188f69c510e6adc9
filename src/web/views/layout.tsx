// The page's frame: header, what stays in view, and tabs.

import { signal } from '@preact/signals';
import type { ComponentChildren, ComponentType, JSX } from 'preact';
import { useId } from 'preact/hooks';

/** A part of the page under a heading. */
export function Panel({
  title,
  children,
  aside,
}: {
  readonly title: string;
  readonly children?: ComponentChildren;
  /** Stands at the right of the heading: a switch, a button. */
  readonly aside?: ComponentChildren;
}): JSX.Element {
  const heading = useId();
  return (
    <section class="panel" aria-labelledby={heading}>
      <header class="panel-head">
        <h2 id={heading}>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

/** One of several views that are shown one at a time. */
export interface Tab {
  readonly id: string;
  readonly title: string;
  readonly panel: ComponentType;
}

/** The tab that is shown. */
export const shownTab = signal('maps');

/** Tabs as the ARIA practices have them: arrow keys go from one to the next, which is shown at once. */
export function Tabs({ tabs }: { readonly tabs: readonly Tab[] }): JSX.Element {
  const shown = tabs.find(({ id }) => id === shownTab.value) ?? tabs[0];
  const show = (id: string | undefined) => {
    if (id === undefined) return;
    shownTab.value = id;
    document.getElementById(`tab-${id}`)?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const at = tabs.findIndex(({ id }) => id === shown?.id);
    const next = {
      ArrowRight: (at + 1) % tabs.length,
      ArrowLeft: (at - 1 + tabs.length) % tabs.length,
      Home: 0,
      End: tabs.length - 1,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    show(tabs[next]?.id);
  };
  const View = shown?.panel;
  return (
    <div class="tabs">
      <div role="tablist" aria-label="Views" class="tablist" onKeyDown={onKeyDown}>
        {tabs.map(({ id, title }) => (
          <button
            key={id}
            type="button"
            role="tab"
            id={`tab-${id}`}
            aria-selected={id === shown?.id}
            aria-controls="tab-view"
            tabIndex={id === shown?.id ? 0 : -1}
            onClick={() => show(id)}
          >
            {title}
          </button>
        ))}
      </div>
      <div id="tab-view" role="tabpanel" aria-labelledby={`tab-${shown?.id}`} class="tab-view">
        {View && <View />}
      </div>
    </div>
  );
}
