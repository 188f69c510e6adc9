// The declarations of the package compile where nothing of WebGPU is declared.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT, useBuilt } from './cli/support.ts';

useBuilt();

/** Names in code, not in comments and texts. */
const namesIn = (text: string) =>
  text
    .replace(/\/\*[\s\S]*?\*\/|\/\/.*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, '')
    .match(/\bGPU([A-Z]\w*)?\b/g) ?? [];

test('every name of WebGPU in them is among those that the package declares where nobody else does', async () => {
  const declared = new Set(namesIn(await readFile(join(ROOT, 'dist/global-names.d.ts'), 'utf8')));
  expect(declared.size).toBeGreaterThan(5);
  const files = (await readdir(join(ROOT, 'dist'), { recursive: true })).filter((file) =>
    file.endsWith('.d.ts'),
  );
  for (const file of files) {
    const text = await readFile(join(ROOT, 'dist', file), 'utf8');
    const unknown = namesIn(text).filter((name) => !declared.has(name));
    expect(unknown, file).toEqual([]);
    // Fields of what nothing is known of would be errors.
    expect(text, file).not.toMatch(/\}: GPU[A-Z]/);
  }
  // Whoever imports an entry point has them.
  expect(await readFile(join(ROOT, 'dist/gpu/index.d.ts'), 'utf8')).toContain("import '../global-names.js';");
});
