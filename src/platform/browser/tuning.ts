// Tuning tables of this browser's adapters, among the caches of the page's origin. The explorer's tab "This device" writes them,
// openGpu reads them.

import type { AdapterIdentity, TuningTable } from '../../gpu/index.ts';
import { parseTuning } from '../../kernels/index.ts';

const CACHE = 'notice-webgpu tuning';

/** Caches are kept by address; nothing is ever asked for at this one. */
function addressOf({ vendor, architecture, description }: AdapterIdentity): string {
  return `https://notice-webgpu.invalid/tuning/${encodeURIComponent(`${vendor} ${architecture} ${description}`)}`;
}

/**
 * What was measured on an adapter; an empty table if nothing was, or where pages keep nothing.
 *
 * @throws NoticeError('config') for a damaged table
 */
export async function readTuning(adapter: AdapterIdentity): Promise<TuningTable> {
  const address = addressOf(adapter);
  const found = await caches
    .open(CACHE)
    .then((cache) => cache.match(address))
    .catch(() => undefined); // private windows and some embedded pages have no caches
  return found ? parseTuning(await found.json(), address) : {};
}

/** Keeps a table; does nothing where pages keep nothing. */
export async function writeTuning(adapter: AdapterIdentity, table: TuningTable): Promise<void> {
  const response = new Response(JSON.stringify(table));
  await caches
    .open(CACHE)
    .then((cache) => cache.put(addressOf(adapter), response))
    .catch(() => {});
}
