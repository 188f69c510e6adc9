// What this package brings along, found beside it whatever the working directory is.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nearestName } from '../platform/node/near-path.ts';

/** Folder of the package, with a separator at its end. */
export const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));

/** Name of the model that is taken where none is named. */
export const EMBEDDED_NAME = 'blip-shapes';

/** Folder of the embedded model. */
export const EMBEDDED_MODEL = join(PACKAGE, 'weights', EMBEDDED_NAME);

/**
 * A model as the user named it; the name of one in `weights/` becomes its folder, unless something here has the name. For
 * options, whose values it parses.
 */
export function withEmbedded(model: string): string {
  const folder = join(PACKAGE, 'weights', model);
  const named = /^[a-z0-9-]+$/.test(model) && !existsSync(model);
  return named && existsSync(join(folder, 'config.json')) ? folder : model;
}

/** " Did you mean blip-shapes?", where a name is nearly that of an embedded model; else nothing. */
export async function nearEmbedded(model: string): Promise<string> {
  const near = /^[A-Za-z0-9-]+$/.test(model) ? await nearestName(join(PACKAGE, 'weights'), model) : undefined;
  return near && existsSync(join(PACKAGE, 'weights', near, 'config.json')) ? ` Did you mean ${near}?` : '';
}
