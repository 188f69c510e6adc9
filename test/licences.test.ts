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

test('NOTICE names every installed package whose licence asks for more than its text, and is published', async () => {
  const paragraphs = (await read('NOTICE')).split('\n\n');
  const { packages } = JSON.parse(await read('package-lock.json')) as {
    packages: Record<string, { license?: string; dev?: boolean; devOptional?: boolean }>;
  };
  const unnamed: string[] = [];
  for (const [path, { license = 'none', dev, devOptional }] of Object.entries(packages)) {
    const name = path.split('node_modules/').at(-1);
    if (!name || dev || devOptional) continue;
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
  const { files } = JSON.parse(await read('package.json')) as { files: string[] };
  expect(files).toContain('NOTICE');
});
