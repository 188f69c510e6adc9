// The page's address holds its state: what is changed is written there, and a link opens what it says.

import { computed, effect, signal } from '@preact/signals';
import type { Pin } from '../protocol/pins.ts';
import type { OpenSpec } from '../protocol/session.ts';
import { shownTab } from '../views/layout.tsx';
import { model, pair, report, start } from './app.ts';
import { embeddedPairs, specOf } from './first.ts';
import { linkOf, readLink } from './link.ts';
import { corruption } from './patched.ts';
import { pins, resetPins } from './pins.ts';
import { chosenSites, metric } from './sweep.ts';

/** Milliseconds until a change is in the address: browsers take only some changes of it in a time. */
const WAIT = 400;

/** Whether what the address said is there: only then is it written anew. */
const restored = signal(false);

/** The link of what is shown, and what of it the link leaves out. */
export const link = computed(() => {
  const [open, shown] = [model.value, pair.value];
  if (!open || !shown) return undefined;
  const known = embeddedPairs.value.find(({ id }) => id === shown.spec.id);
  return linkOf(
    {
      model: open.choice,
      dtype: open.dtype === 'as in the file' ? undefined : open.dtype,
      pair: shown.spec,
      corruption: corruption.value,
      metric: metric.value,
      sites: chosenSites.value,
      pins: pins.value,
      tab: shownTab.value,
    },
    known && specOf(known),
  );
});

/** Opens what the address says, else what the page opens with. */
export async function startFromAddress(): Promise<void> {
  const said = readLink(location.hash);
  corruption.value = said.corruption ?? corruption.value;
  metric.value = said.metric ?? metric.value;
  chosenSites.value = said.sites;
  shownTab.value = said.tab ?? shownTab.value;
  const wish = said.model && { model: said.model, dtype: said.dtype as OpenSpec['dtype'] };
  const ownPictures =
    typeof said.pair === 'object' && said.missing.length > (said.folder === undefined ? 0 : 1);
  const list = said.pins ?? [];
  // Whatever needs files of the one who made the link waits until they are chosen here.
  if (said.folder !== undefined) pinWithFolder(said.folder, list);
  else if (!ownPictures) resetPins(list);
  await start({ model: wish, pair: ownPictures ? undefined : said.pair });
  if (said.missing.length > 0) report(new Error(`The link does not hold ${said.missing.join('; ')}.`));
  // The address of a folder's link stays until the folder is open.
  restored.value ||= said.folder === undefined;
}

/** Pins what a link says when the model folder is opened that it is about. */
function pinWithFolder(folder: string, list: readonly Pin[]): void {
  const stop = effect(() => {
    const choice = model.value?.choice;
    if (choice?.kind !== 'folder' || choice.name !== folder || !pair.value) return;
    queueMicrotask(() => {
      resetPins(list);
      restored.value = true;
      stop();
    });
  });
}

/** Writes the address whenever the state changes; another link that is put there is opened as in a new page. */
export function keepAddress(): () => void {
  const read = () => location.reload();
  addEventListener('hashchange', read);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = effect(() => {
    const hash = restored.value ? link.value?.hash : undefined;
    clearTimeout(timer);
    if (hash !== undefined) timer = setTimeout(() => history.replaceState(null, '', `#${hash}`), WAIT);
  });
  return () => {
    removeEventListener('hashchange', read);
    clearTimeout(timer);
    stop();
  };
}
