// Every shell snippet of README and docs ends well, as somebody types it who has a clone: in the order of the page, in one folder
// for each page. Experiments are done with fewer samples, in `npm test` up to the first question.

import { readdirSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { notice, noticeProcess, type Outcome, ROOT, SHAPES } from '../cli/support.ts';
import { hub } from '../hub/hub.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { LONG } from '../support/long.ts';
import { shellIn } from './shell.ts';
import { type Snippet, snippetsOf } from './snippets.ts';

const PAGES = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const SHELL = /^(sh|bash|shell|console)$/;
const snippets = PAGES.flatMap(snippetsOf);
const commands = snippets.filter(({ language, notRun }) => SHELL.test(language) && notRun === undefined);
/** Those that join what was measured, which takes minutes. */
const isLong = ({ code }: Snippet): boolean => /notice merge/.test(code);

/** What a model on the hub is here, by the page that names it. */
const HUB: Readonly<Record<string, { readonly id: string; readonly folder: string }>> = {
  'docs/tutorial.md': { id: 'Salesforce/blip-vqa-base', folder: SHAPES },
  'docs/cli.md': { id: 'llava-hf/llava-1.5-7b-hf', folder: join(ROOT, 'weights/llava-shapes') },
};

/** What a page takes for granted. */
const BEFORE: Readonly<Record<string, string>> = {
  'docs/cli.md': 'node examples/draw-toys.mjs toys',
  'docs/cluster.md': `
    echo 'module load node' > modules.sh
    mkdir -p lab/experiments; ln -s ../weights ../data lab/
    printf 'model: ../weights/blip-shapes\ndata: [../data/scenes.csv]\nout: ../results\n' > lab/experiments/blip.yaml`,
};

/** A command of the documentation, made a matter of seconds. */
async function done(args: readonly string[], cwd: string, env: Record<string, string>): Promise<Outcome> {
  const [command] = args;
  const more = (...options: string[]) => notice([...args, ...options], { cwd, env });
  switch (command) {
    case 'evaluate':
      return more('--n', '2');
    case 'run':
      if (args.includes('--devices') && !LONG) return WELL; // a whole run on each: test/cluster
      return more('--samples', '2', ...(LONG || args.includes('--until') ? [] : ['--until', 'judge']));
    case 'demo':
      return LONG ? more('--samples', '2') : WELL; // test/cli/demo.test.ts
    case 'explorer':
      return LONG ? noticeProcess(args, { cwd, env, terminateWhen: sleep(2000) }) : WELL; // test/web
    default:
      return more();
  }
}

const WELL: Outcome = { status: 0, stdout: '', stderr: '' };

async function hubOf(page: string): Promise<Record<string, string>> {
  const model = HUB[page];
  if (!model) return { HF_ENDPOINT: 'http://127.0.0.1:9' }; // nobody answers
  const files: Record<string, Buffer> = {};
  for (const name of await readdir(model.folder))
    if (/\.(json|safetensors|txt)$/.test(name)) files[name] = await readFile(join(model.folder, name));
  return { HF_ENDPOINT: (await hub(files, { id: model.id })).url };
}

test.each([...new Set(commands.map(({ page }) => page))])(
  '%s',
  async (page) => {
    const folder = await freshFolder();
    const home = { HF_HOME: await freshFolder(), XDG_CACHE_HOME: await freshFolder() };
    const env = { ...home, ...(await hubOf(page)) };
    const { run } = await shellIn(folder, (args, cwd, PATH) => done(args, cwd, { ...env, PATH }));
    await run(BEFORE[page] ?? ':');
    for (const snippet of commands.filter((one) => one.page === page && (LONG || !isLong(one)))) {
      // A volume that is mounted everywhere.
      const code = snippet.code.replaceAll(/(?<= )\/lab\b/g, join(folder, 'lab'));
      const failure = await run(code).then(
        () => undefined,
        (error: { stdout?: string; stderr?: string }) => `${error.stdout}\n${error.stderr}`,
      );
      expect(failure, `${snippet.where}\n${snippet.code}\n${failure}`).toBeUndefined();
    }
  },
  600_000,
);

test('what is not run says why, and that is five snippets at most', () => {
  const left = snippets.filter(({ notRun }) => notRun !== undefined);
  expect(left.map(({ where, notRun }) => notRun === '' && where).filter(Boolean)).toEqual([]);
  expect(left.length, left.map(({ where }) => where).join(', ')).toBeLessThanOrEqual(5);
});
