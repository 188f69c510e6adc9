// Puts the declarations in dist/ into a form that TypeScript 5.4 reads as well as 7, and marks the build as done.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const dist = join(import.meta.dirname, '../dist');

/** @param text of a declaration file as tsc writes it */
function portable(text) {
  return (
    text
      // tsc leaves the sources' extensions as they are.
      .replace(/((?:from|import)\s*\(?\s*['"]\.[^'"]*)\.ts(?=['"])/g, '$1.js')
      // Typed arrays have a parameter since TypeScript 5.7. `slice` gives the same type in every version.
      .replace(/\b(\w+Array)<ArrayBuffer>/g, "ReturnType<$1['slice']>")
  );
}

for (const name of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
  if (!name.endsWith('.d.ts')) continue;
  const file = join(dist, name);
  writeFileSync(file, portable(readFileSync(file, 'utf8')));
}
writeFileSync(join(dist, '.built'), '');
