// How many pairs of each task were looked at, and which cannot be samples.

import type { Analysis } from '../experiment/analyse.ts';
import { html, type Markup } from './html.ts';
import { htmlTable } from './table.ts';

export function leftOutSection({ record: { tasks, settings } }: Analysis): Markup {
  const drops = tasks.flatMap(({ task, unusable = [] }) => unusable.map((drop) => ({ task, ...drop })));
  return html`${htmlTable('From the manifest to the samples', tasks, [
    { name: 'task', value: ({ task }) => task },
    { name: 'rows', value: ({ pairs }) => pairs },
    { name: 'asked', value: ({ asked }) => asked },
    { name: 'answered correctly', value: ({ correct }) => correct },
    { name: 'samples', value: ({ selected }) => selected.length },
    { name: 'asked for', value: () => settings.samples },
    { name: 'left out', value: ({ unusable = [] }) => unusable.length },
  ])}
${
  drops.length > 0
    ? htmlTable('Pairs that cannot be samples', drops, [
        { name: 'task', value: ({ task }) => task },
        { name: 'pair', value: ({ source }) => source },
        { name: 'reason', value: ({ reason }) => reason },
        { name: 'what was found', value: ({ detail }) => detail },
      ])
    : html`<p>Every row of the manifests can be a sample.</p>`
}`;
}
