// What this package brings along, found beside it whatever the working directory is.

import { fileURLToPath } from 'node:url';

/** Folder of the package, with a separator at its end. */
export const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));

/** Folder of the embedded model. */
export const EMBEDDED_MODEL = `${PACKAGE}weights/blip-shapes`;
