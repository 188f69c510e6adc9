// Puts the declarations in dist/ into a form that TypeScript 5.4 reads as well as 7, takes away what earlier builds left of
// sources that are gone, and marks the build as done.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [dist, src] = ['dist', 'src'].map((folder) => join(import.meta.dirname, '..', folder));

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
  const file = join(dist, name);
  const [, stem] = /^(?!explorer[/\\])(.*?)(?:\.d\.ts|\.js)(?:\.map)?$/.exec(name) ?? [];
  if (stem !== undefined && (name.endsWith('.map') || !existsSync(join(src, `${stem}.ts`)))) {
    rmSync(file);
    continue;
  }
  if (!name.endsWith('.d.ts')) continue;
  writeFileSync(file, portable(readFileSync(file, 'utf8')));
}
writeFileSync(join(dist, '.built'), '');
