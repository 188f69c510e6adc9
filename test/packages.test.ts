// The two packages of this repository: what each is made of and needs.

import { readdir, readFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import * as errors from '../src/errors.ts';
import * as gpu from '../src/gpu/index.ts';
import * as hub from '../src/hub/index.ts';
import * as models from '../src/models/index.ts';
import * as datasets from '../src/notice/datasets/index.ts';
import * as node from '../src/platform/node/index.ts';
import * as nodeInBrowser from '../src/platform/node-in-browser.ts';
import * as weights from '../src/weights/index.ts';
import { ROOT } from './cli/support.ts';

interface Manifest {
  readonly dependencies: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
  readonly peerDependenciesMeta?: Record<string, { optional: boolean }>;
  readonly devDependencies?: Record<string, string>;
}

const manifest = async (path: string) =>
  JSON.parse(await readFile(join(ROOT, path, 'package.json'), 'utf8')) as Manifest;
const library = await manifest('.');
const cli = await manifest('packages/cli');
const ofCli = { ...cli.dependencies, ...cli.optionalDependencies };

/** src/ without the page, which is bundled. */
const OF_CLI = ['bench', 'cli', 'notice'];

/** The packages that files of src/ name in imports, with the files; `lazily`: only in `import()`. */
async function imported(inCli: boolean): Promise<Map<string, { files: string[]; lazily: boolean }>> {
  const found = new Map<string, { files: string[]; lazily: boolean }>();
  for (const file of await readdir(join(ROOT, 'src'), { recursive: true })) {
    const [folder] = file.split(/[/\\]/) as [string];
    if (!file.endsWith('.ts') || folder === 'web' || OF_CLI.includes(folder) !== inCli) continue;
    const text = await readFile(join(ROOT, 'src', file), 'utf8');
    const statements =
      /(?:^|\n)(?:import|export) (?!type\b)[^;]*?from '([^']+)'|\bimport\('([^']+)'\)|\bresolve\(['`]([^'`$]+)/g;
    for (const [, statically, dynamically, resolved] of text.matchAll(statements)) {
      const specifier = statically ?? dynamically ?? resolved!;
      if (/^\.|^node:/.test(specifier)) continue;
      const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
      const entry = found.get(name) ?? { files: [], lazily: true };
      entry.files.push(file);
      entry.lazily &&= statically === undefined;
      found.set(name, entry);
    }
  }
  return found;
}

describe('dependencies', () => {
  test('the library names what it imports; what it needs in Node only is optional and loaded late', async () => {
    const packages = await imported(false);
    expect([...packages.keys()].sort()).toEqual(
      Object.keys({ ...library.dependencies, ...library.peerDependencies }).sort(),
    );
    for (const name of Object.keys(library.peerDependencies!)) {
      expect(library.peerDependenciesMeta![name], name).toEqual({ optional: true });
      expect(packages.get(name), name).toMatchObject({ lazily: true });
      for (const file of packages.get(name)!.files) expect(file).toMatch(/^platform.node/);
    }
  });

  test("the command line's package names what it imports, and what the library needs in Node", async () => {
    const packages = (await imported(true)).keys();
    expect(Object.keys(ofCli).sort()).toEqual(
      [...new Set([...packages, ...Object.keys(library.peerDependencies!)])].sort(),
    );
    for (const name of builtinModules) expect(ofCli).not.toHaveProperty(name);
  });

  test('in the same ranges as are tested here', () => {
    const here = { ...library.dependencies, ...library.devDependencies };
    for (const [name, range] of Object.entries({ ...library.peerDependencies, ...ofCli }))
      expect(here[name], name).toBe(range);
  });
});

test('a family of models is made of what entry points export', async () => {
  const fresco = join(ROOT, 'test/models/fresco');
  for (const file of await readdir(fresco)) {
    const text = await readFile(join(fresco, file), 'utf8');
    for (const [, from] of text.matchAll(/from '([^']*\/src\/[^']*)'/g))
      expect(from, file).toMatch(/\/src\/(index|families)\.ts$/);
  }
});

test('in a browser, notice-webgpu/node has the same functions, which say what to use there', () => {
  const instead = Object.entries(nodeInBrowser);
  expect(instead.map(([name]) => name).sort()).toEqual(Object.keys(node).sort());
  for (const [name, call] of instead)
    expect(call).toThrow(
      expect.objectContaining({
        code: 'usage',
        message: expect.stringMatching(new RegExp(`^${name} .*In a browser`)),
      }),
    );
});

test("errors have their class's name, which minifying leaves", () => {
  let tried = 0;
  for (const [name, value] of Object.entries({
    ...errors,
    ...gpu,
    ...hub,
    ...models,
    ...datasets,
    ...weights,
  })) {
    if (typeof value !== 'function' || !(value.prototype instanceof Error)) continue;
    const Renamed = { t: class extends (value as new (...args: unknown[]) => Error) {} }.t;
    expect(new Renamed('usage', 'text', {}).name).toBe(name);
    tried++;
  }
  expect(tried).toBeGreaterThan(10);
});
