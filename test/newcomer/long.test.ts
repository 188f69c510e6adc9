// A newcomer's hour: npm and pnpm, three TypeScripts, the documentation's programs, Vite, webpack and esbuild, the page that they
// build in headless Chromium, the experiment on the command line. It needs the registry: `npm run test:newcomer`.

import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { ROOT, useBuilt } from '../cli/support.ts';
import { browserPrograms, nodePages, output } from '../docs/programs.ts';
import { LONG } from '../support/long.ts';
import { emptyFolder, MANIFEST, packBoth } from '../support/packed.ts';
import { PAGE, writeApp } from './app.ts';
import { openBuilt } from './browser.ts';
import { inNode, shell } from './process.ts';
import { installSizes, SOFTWARE_ADAPTER } from './sizes.ts';

/** What only this test needs, in its own folder; the numbers are those that package.json would have. */
const TOOLS = [
  ...['ts5.4@npm:typescript@5.4', 'ts5.9@npm:typescript@5.9', 'ts7@npm:typescript@^7', '@types/node@20'],
  ...['vite@8', 'webpack@5', 'source-map-loader@5', 'esbuild@0.28'],
];
const TYPESCRIPTS = ['ts5.4', 'ts5.9', 'ts7'];
const NPM = 'npm install --no-audit --no-fund --loglevel=error';
const MINUTES = 60_000;

describe.skipIf(!LONG)("a newcomer's hour", { timeout: 10 * MINUTES }, () => {
  useBuilt();
  let tarballs: [library: string, cli: string];
  const projects = { page: '', node: '', pnpm: '' };
  const sizes = { page: new Map<string, number>(), node: new Map<string, number>() };
  const cliFolder = () => join(projects.node, 'node_modules/notice-webgpu-cli');
  const documented = readFile(join(ROOT, 'docs/dependencies.md'), 'utf8');

  beforeAll(async () => {
    const folder = await emptyFolder();
    tarballs = await packBoth(true);
    for (const name of ['page', 'node', 'pnpm'] as const) {
      projects[name] = join(folder, name);
      await mkdir(projects[name]);
      await writeFile(join(projects[name], 'package.json'), MANIFEST);
    }
    const [library, cli] = tarballs;
    await shell(`${NPM} "${library}"`, projects.page);
    await shell(`${NPM} "${library}" "${cli}"`, projects.node);
    for (const name of ['data', 'weights'])
      await cp(join(cliFolder(), name), join(projects.node, name), { recursive: true });
    for (const name of ['page', 'node'] as const) sizes[name] = await installSizes(projects[name]);
    await shell(`${NPM} ${TOOLS.join(' ')}`, projects.page);
    await shell(`${NPM} ${TOOLS.slice(0, 4).join(' ')}`, projects.node);
  }, 15 * MINUTES);

  /** A number of MB that docs/dependencies.md gives in the row of a part. */
  const said = async (part: string): Promise<number> => {
    const row = (await documented).split('\n').find((line) => line.startsWith(`| ${part} |`));
    return Number(/\| ([\d.]+) MB/.exec(row ?? '')?.[1]);
  };
  const closeTo = (megabytes: number) => Math.max(0.1 * megabytes, 0.5);

  test("the library's install is small, as docs/dependencies.md says", async () => {
    console.log('library for a browser app, MB', Object.fromEntries(sizes.page));
    const all = sizes.page.get('all')!;
    expect(all).toBeLessThanOrEqual(15);
    expect(sizes.page.get('the library')).toBeLessThanOrEqual(5);
    expect(Math.abs((await said('library for a browser app, all')) - all)).toBeLessThan(closeTo(all));
  });

  test.runIf(process.platform === 'linux')("the command line's install, part by part", async () => {
    console.log('command line, MB', Object.fromEntries(sizes.node));
    const all = sizes.node.get('all')!;
    expect(all).toBeLessThanOrEqual(310);
    expect(all - sizes.node.get(SOFTWARE_ADAPTER)!).toBeLessThanOrEqual(250);
    for (const [part, megabytes] of sizes.node)
      expect(Math.abs((await said(part)) - megabytes), part).toBeLessThan(closeTo(megabytes));
  });

  test('npx notice without the command line says what to install', async () => {
    await expect(shell('npx notice run', projects.page)).rejects.toThrow(/npm install notice-webgpu-cli/);
  });

  test('npx notice run on a machine without a GPU after one install', async () => {
    const options = '--data data/scenes.csv --samples 2 --corruptions sip --adapter software --out results';
    expect(await shell(`npx notice run ${options}`, projects.node)).toMatch(/report\.html in results/);
    expect(await readFile(join(projects.node, 'results/report.html'), 'utf8')).toContain('<main');
  });

  test('pnpm installs, with the sentence of the README, and runs', async () => {
    const [library, cli] = tarballs;
    // The registry has neither yet.
    await writeFile(
      join(projects.pnpm, 'pnpm-workspace.yaml'),
      `overrides:\n  notice-webgpu: ${JSON.stringify(`file:${library}`)}\n`,
    );
    const flag = /pnpm add (--allow-build=\S+)/.exec(await readFile(join(ROOT, 'README.md'), 'utf8'))?.[1];
    await shell(`npx --yes pnpm@latest add ${flag} "${library}" "${cli}"`, projects.pnpm);
    for (const name of ['data', 'weights'])
      await cp(join(cliFolder(), name), join(projects.pnpm, name), { recursive: true });
    const [readme] = nodePages;
    expect(await output(projects.pnpm, readme!.run)).toContain("'heart', 'heart'");
    const question = '--image data/scenes/002_clean.png --prompt "is the triangle inside the heart or ring?"';
    expect(await shell(`npx notice generate --model blip-shapes ${question}`, projects.pnpm)).toContain(
      'heart',
    );
  });

  test.each(nodePages)('the snippets of $page run out of the tarballs', async ({ run }) => {
    expect(await output(projects.node, run)).not.toBe('');
  });

  test('three TypeScripts compile them, and all declarations, with and without DOM', async () => {
    const { main, worker } = browserPrograms();
    const all =
      "export * from 'notice-webgpu';\nexport * as b from 'notice-webgpu/browser';\nexport * as a from 'notice-webgpu/analysis';\n";
    const inNodeToo =
      "export * as n from 'notice-webgpu/node';\nexport * as e from 'notice-webgpu-cli/experiment';\nexport * as d from 'notice-webgpu-cli/datasets';\n";
    for (const [name, text] of [
      ['main', main.text],
      ['worker', worker.text],
      ['all', all],
    ] as const)
      await writeFile(join(projects.page, `${name}.ts`), text);
    await writeFile(join(projects.node, 'all.ts'), all + inNodeToo);
    for (const { whole } of nodePages) await writeFile(join(projects.node, `${whole.name}.ts`), whole.text);
    const pages = nodePages.map(({ whole }) => `${whole.name}.ts`);
    const cases = [
      { at: projects.page, lib: ['ES2022', 'DOM'], types: [], files: ['all.ts', 'main.ts', 'worker.ts'] },
      { at: projects.page, lib: ['ES2022'], types: [], files: ['all.ts'] },
      { at: projects.node, lib: ['ES2023'], types: ['node'], files: ['all.ts', ...pages] },
    ];
    const faults: string[] = [];
    for (const [i, { at, lib, types, files }] of cases.entries()) {
      for (const module of i === 2 ? ['NodeNext'] : ['NodeNext', 'ESNext']) {
        const moduleResolution = module === 'ESNext' ? 'Bundler' : module;
        const compilerOptions = {
          strict: true,
          noEmit: true,
          skipLibCheck: false,
          target: 'ES2022',
          module,
          moduleResolution,
          lib,
          types,
        };
        await writeFile(join(at, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
        for (const version of TYPESCRIPTS) {
          const said = await inNode([join(at, 'node_modules', version, 'bin/tsc'), '-p', at], at);
          if (said) faults.push(`${version}, ${lib.join('+')}, ${module}: ${said}`);
        }
      }
    }
    expect(faults).toEqual([]);
  });

  /** A bundler's configuration, as a program that builds `app/` into `app/dist/`. */
  const BUNDLERS: Readonly<Record<string, { javascript: boolean; script: string; program: string }>> = {
    Vite: {
      javascript: false,
      script: './entry.ts',
      program: `
        import { build } from 'vite';
        await build({
          root: 'app', logLevel: 'warn', worker: { format: 'es' },
          build: { sourcemap: true, rolldownOptions: { checks: { pluginTimings: false } } }, // how long the build takes is no fault
        });`,
    },
    webpack: {
      javascript: true,
      script: './entry.js',
      program: `
        import webpack from 'webpack';
        const path = process.cwd() + '/app/dist';
        const stats = await new Promise((done, failed) => webpack({
          mode: 'production', context: process.cwd() + '/app', entry: './entry.js', output: { path, filename: 'entry.js' }, devtool: 'source-map',
          module: { rules: [{ test: /\\.m?js$/, enforce: 'pre', use: ['source-map-loader'] }] },
          performance: { hints: false },
        }, (error, stats) => error ? failed(error) : done(stats)));
        const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
        for (const { message } of [...errors, ...warnings]) console.log(message);`,
    },
    esbuild: {
      javascript: true,
      script: './entry.js',
      program: `
        import { build } from 'esbuild';
        await build({ entryPoints: ['app/entry.js', 'app/worker.js'], outdir: 'app/dist', bundle: true, minify: true, sourcemap: true,
          format: 'esm', target: 'es2022', logLevel: 'warning',
          alias: { '@huggingface/hub': './node_modules/@huggingface/hub/dist/browser/index.mjs' } });`,
    },
  };

  test.each(Object.entries(BUNDLERS))(
    '%s builds page and worker without a word, and they answer',
    async (name, { javascript, script, program }) => {
      const app = join(projects.page, 'app');
      await shell('node -e "fs.rmSync(\'app\', { recursive: true, force: true })"', projects.page);
      await writeApp(app, cliFolder(), { javascript });
      const html = `${PAGE}<script type="module" src="${script}"></script>\n`;
      await writeFile(join(app, 'index.html'), html);
      await writeFile(join(projects.page, 'build.mjs'), program);
      expect(await inNode([join(projects.page, 'build.mjs')], projects.page)).toBe('');
      if (name !== 'Vite') {
        await writeFile(join(app, 'dist/index.html'), html);
        await cp(join(app, 'public'), join(app, 'dist'), { recursive: true });
      }
      const { text, lines, errors, requests } = await openBuilt(join(app, 'dist'));
      expect(errors).toEqual([]);
      expect(text).toBe('heart');
      expect(lines).toContain('from the worker: heart');
      expect(lines[0]).toMatch(/^NoticeError usage nodeFolder of notice-webgpu\/node runs in Node only/);
      // 6 MB of weights in pieces of 64 KiB to 32 MiB, by the window twice: once without and once with a store that keeps them.
      const weights = requests.filter(({ path }) => path.endsWith('/model.safetensors'));
      expect(weights.length).toBeLessThanOrEqual(6);
    },
  );
});
