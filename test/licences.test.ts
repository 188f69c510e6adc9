import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

/** Licences that ask for nothing but their own text, which each package brings. */
const PERMISSIVE = /^(MIT|ISC|0BSD|BSD-[23]-Clause|Apache-2\.0|BlueOak-1\.0\.0|Unlicense)$/;
/** What NOTICE calls the others. */
const NAMES: Readonly<Record<string, string>> = {
  'MPL-2.0': 'Mozilla Public License 2.0',
  'LGPL-3.0-or-later': 'GNU Lesser General Public License 3.0 or later',
};

const read = (file: string) => readFile(new URL(`../${file}`, import.meta.url), 'utf8');

interface Manifest {
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

type Packages = Readonly<Record<string, Manifest>>;

/** Places in the lock file of everything that npm installs beside what these packages say. */
function installed(packages: Packages, roots: readonly Manifest[]): Set<string> {
  const found = new Set<string>();
  const add = (from: string, { dependencies, optionalDependencies }: Manifest): void => {
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      let folder = from;
      while (folder && !packages[`${folder}/node_modules/${name}`])
        folder = folder.slice(0, Math.max(folder.lastIndexOf('/node_modules/'), 0));
      const path = folder ? `${folder}/node_modules/${name}` : `node_modules/${name}`;
      const manifest = packages[path];
      if (!manifest || found.has(path)) continue;
      found.add(path);
      add(path, manifest);
    }
  };
  for (const manifest of roots) add('', manifest);
  return found;
}

test('NOTICE names every installed package whose licence asks for more than its text, and is published', async () => {
  const paragraphs = (await read('NOTICE')).split('\n\n');
  const { packages } = JSON.parse(await read('package-lock.json')) as { packages: Packages };
  const published = [
    JSON.parse(await read('package.json')),
    JSON.parse(await read('packages/cli/package.json')),
  ];
  const unnamed: string[] = [];
  for (const path of installed(packages, published)) {
    const { license = 'none' } = packages[path]!;
    const name = path.split('node_modules/').at(-1)!;
    const asking = license.split(/ AND | OR /).filter((one) => !PERMISSIVE.test(one));
    const paragraph = paragraphs.find((text) =>
      [...text.matchAll(/@?[\w-]+(?:\/[\w-]+)?\*?/g)].some(([word]) =>
        word.endsWith('*') ? name.startsWith(word.slice(0, -1)) : name === word,
      ),
    );
    if (asking.some((one) => !paragraph?.includes(NAMES[one] ?? 'licence')))
      unnamed.push(`${name}: ${license}`);
  }
  expect(unnamed).toEqual([]);
  for (const { files } of published) expect(files).toContain('NOTICE');
});
