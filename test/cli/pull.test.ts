// `notice pull` from a local hub, and the pulled model under its id.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Behaviour, COMMIT, hub } from '../hub/hub.ts';
import type { LocalServer } from '../hub/server.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { fixture } from '../support/golden.ts';
import { notice, run } from './support.ts';

const TOKEN = 'hf_secret';

/** The tiny BLIP of the fixtures as a gated repository, with files that a pull must leave alone. */
async function gatedHub(behaviour: Behaviour = {}): Promise<LocalServer> {
  const files: Record<string, Buffer> = {
    'README.md': Buffer.from('# tiny'),
    'pytorch_model.bin': Buffer.alloc(2000, 'pickle'),
  };
  for (const name of await readdir(fixture('blip-tiny')))
    if (/^(model\.safetensors|.*config\.json|tokenizer\.json)$/.test(name))
      files[name] = await readFile(fixture(`blip-tiny/${name}`));
  return hub(files, { id: 'org/blip-tiny', token: TOKEN, ...behaviour });
}

test('a model is pulled, pulled again without a download, and answers under its id', async () => {
  const server = await gatedHub();
  const cache = await freshFolder();
  const env = { HF_ENDPOINT: server.url, HF_TOKEN: TOKEN, HF_HUB_CACHE: cache };

  const before = await notice(['hooks', '--model', 'org/blip-tiny'], { env });
  expect(before).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(
      /^notice: "org\/blip-tiny" is no folder, .*Run: notice pull org\/blip-tiny\n$/,
    ),
  });

  const folder = join(cache, 'models--org--blip-tiny/snapshots', COMMIT);
  const pulled = await run(['pull', 'org/blip-tiny'], { env });
  expect(pulled.stdout).toBe(`${folder}\n`); // for scripts: nothing else
  expect(pulled.stderr).toMatch(/model\.safetensors, [\d.]+ MiB …/);
  expect(pulled.stderr).toMatch(
    new RegExp(`org/blip-tiny at ${COMMIT}: 5 files, [\\d.]+ MiB, 5 downloaded now`),
  );
  expect(await readdir(folder)).not.toContain('pytorch_model.bin');

  const again = await run(['pull', 'org/blip-tiny'], { env });
  expect(again.stderr).toMatch(/5 files, [\d.]+ MiB, 0 downloaded now/);
  const asked = server.requests.length;
  const offline = await run(['pull', 'org/blip-tiny'], { env: { ...env, HF_HUB_OFFLINE: '1' } });
  expect(offline.stdout).toBe(pulled.stdout);
  expect(server.requests).toHaveLength(asked);

  const cases = JSON.parse(await readFile(fixture('blip-tiny/cases.json'), 'utf8'));
  const { text, image, generated_text } = cases.cases[0].corrupt;
  const prompt = ['--image', fixture(`blip-tiny/${image}`), '--prompt', text, '--max-new-tokens', '10'];
  const answer = await run(['generate', '--model', 'org/blip-tiny', ...prompt], { env });
  expect(answer.stdout).toBe(`${generated_text}\n`);
});

test('no access, no such model, no server: status and words', async () => {
  const { url } = await gatedHub();
  const env = { HF_HUB_CACHE: await freshFolder() };
  const outcomes = [
    [{ ...env, HF_ENDPOINT: url }, 'org/blip-tiny', 2, /gives no access to org\/blip-tiny: .*set HF_TOKEN/],
    [{ ...env, HF_ENDPOINT: url, HF_TOKEN: TOKEN }, 'org/other', 2, /has no model or revision org\/other/],
    [{ ...env, HF_ENDPOINT: url, HF_TOKEN: 'secret' }, 'org/blip-tiny', 2, /HF_TOKEN must begin with "hf_"/],
    [{ ...env, HF_HUB_OFFLINE: '1' }, 'org/blip-tiny', 1, /not in the cache/],
  ] as const;
  for (const [variables, model, status, message] of outcomes) {
    const outcome = await notice(['pull', model], { env: variables });
    expect(outcome).toMatchObject({ status, stdout: '', stderr: expect.stringMatching(message) });
    expect(outcome.stderr).not.toMatch(/\n\s+at /);
  }
});
