import { lstat, mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { NoticeError } from '../../src/errors.ts';
import { NetworkError, neededFiles } from '../../src/hub/index.ts';
import { pullModel, resolveModel } from '../../src/platform/node/hub/index.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { COMMIT, type Files, gitSha1, hub, sha256 } from './hub.ts';
import type { LocalServer } from './server.ts';

const MODEL: Files = {
  '.gitattributes': Buffer.from('*.safetensors lfs'),
  'README.md': Buffer.from('# Model'),
  'config.json': Buffer.from('{"model_type":"blip"}'),
  'model.safetensors': Buffer.alloc(200_000, 'weights '),
  'preprocessor_config.json': Buffer.from('{"size":384}'),
  'pytorch_model.bin': Buffer.alloc(1000, 'pickle'),
  'tokenizer.json': Buffer.from('{"version":"1.0"}'),
  'training_args.json': Buffer.from('{}'),
  'vocab.txt': Buffer.from('[PAD]\nä\n'),
};

const downloads = ({ requests }: LocalServer) =>
  requests.filter(({ line }) => line.includes('/resolve/')).map(({ line }) => line.split('/').at(-1));

let cacheDir: string;
beforeEach(async () => {
  for (const name of [
    'HF_ENDPOINT',
    'HF_TOKEN',
    'HF_HOME',
    'HF_HUB_CACHE',
    'HUGGINGFACE_HUB_CACHE',
    'HF_HUB_OFFLINE',
  ]) {
    vi.stubEnv(name, undefined);
  }
  cacheDir = await freshFolder();
  return () => vi.unstubAllEnvs();
});

describe('pulling', () => {
  test("the shared cache's layout: refs, blobs by hash, snapshots of links", async () => {
    const server = await hub(MODEL, { pageSize: 4 });
    const progress: number[] = [];
    const pulled = await pullModel('org/tiny', {
      endpoint: server.url,
      cacheDir,
      onProgress: ({ path, received, total }) =>
        path === 'model.safetensors' && progress.push(received / total),
    });
    const names = [
      'config.json',
      'model.safetensors',
      'preprocessor_config.json',
      'tokenizer.json',
      'vocab.txt',
    ];
    const folder = join(cacheDir, 'models--org--tiny');
    expect(pulled).toMatchObject({
      id: 'org/tiny',
      commit: COMMIT,
      folder: join(folder, 'snapshots', COMMIT),
    });
    expect((await readdir(pulled.folder)).sort()).toEqual(names);
    expect(pulled.files.map(({ path, downloaded }) => downloaded && path).sort()).toEqual(names);
    expect(await readFile(join(folder, 'refs', 'main'), 'utf8')).toBe(COMMIT);
    const weights = sha256(MODEL['model.safetensors'] as Buffer);
    expect(await readlink(join(pulled.folder, 'model.safetensors'))).toBe(`../../blobs/${weights}`);
    const config = gitSha1(MODEL['config.json'] as Buffer);
    expect(await readlink(join(pulled.folder, 'config.json'))).toBe(`../../blobs/${config}`);
    for (const name of names) expect(await readFile(join(pulled.folder, name))).toEqual(MODEL[name]);
    expect((await readdir(join(folder, 'blobs'))).filter((name) => name.includes('.'))).toEqual([]);
    expect(progress.at(-1)).toBe(1);
    expect(await resolveModel('org/tiny', cacheDir)).toEqual({
      folder: pulled.folder,
      id: 'org/tiny',
      commit: COMMIT,
    });
  });

  test('a second pull loads nothing; a lost file is loaded alone', async () => {
    const server = await hub(MODEL);
    const options = { endpoint: server.url, cacheDir };
    const { folder } = await pullModel('org/tiny', options);
    const first = downloads(server).length;
    const again = await pullModel('org/tiny', options);
    expect(again.files.every(({ downloaded }) => !downloaded)).toBe(true);
    await rm(join(cacheDir, 'models--org--tiny', 'blobs', gitSha1(MODEL['vocab.txt'] as Buffer)));
    await pullModel('org/tiny', options);
    expect(downloads(server).slice(first)).toEqual(['vocab.txt']);
    expect(await readFile(join(folder, 'vocab.txt'))).toEqual(MODEL['vocab.txt']);
  });

  test('what was cut off is gone on with, and half a model is not found', async () => {
    let cutAfter: number | undefined = 50_000;
    const server = await hub(MODEL, { cutAfter: () => cutAfter });
    const options = { endpoint: server.url, cacheDir, attempts: 1 };
    await expect(pullModel('org/tiny', options)).rejects.toThrow(NetworkError);
    const weights = sha256(MODEL['model.safetensors'] as Buffer);
    const incomplete = join(cacheDir, 'models--org--tiny', 'blobs', `${weights}.notice.incomplete`);
    expect((await lstat(incomplete)).size).toBe(50_000);
    await expect(resolveModel('org/tiny', cacheDir)).rejects.toThrow(/not in the cache/);
    cutAfter = undefined;
    const { folder } = await pullModel('org/tiny', options);
    const last = server.requests.at(-1);
    expect(last?.line).toMatch(/model\.safetensors$/);
    expect(last?.headers.range).toBe('bytes=50000-');
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(MODEL['model.safetensors']);
  });

  test('a whole file that was not checked yet is checked, not loaded again', async () => {
    const server = await hub(MODEL);
    const weights = MODEL['model.safetensors'] as Buffer;
    const blobs = join(cacheDir, 'models--org--tiny', 'blobs');
    await mkdir(blobs, { recursive: true });
    await writeFile(join(blobs, `${sha256(weights)}.notice.incomplete`), weights);
    const { folder } = await pullModel('org/tiny', { endpoint: server.url, cacheDir });
    expect(downloads(server)).not.toContain('model.safetensors');
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(weights);
  });

  test('an environment in place of options, and the token', async () => {
    const server = await hub(MODEL, { token: 'hf_secret' });
    vi.stubEnv('HF_ENDPOINT', `${server.url}/`);
    vi.stubEnv('HF_HOME', cacheDir);
    await expect(pullModel('org/tiny')).rejects.toThrow(/gives no access to org\/tiny.* set HF_TOKEN/);
    vi.stubEnv('HF_TOKEN', 'hf_secret');
    const { folder } = await pullModel('org/tiny@v1');
    expect(folder).toBe(join(cacheDir, 'hub', 'models--org--tiny', 'snapshots', COMMIT));
    expect((await resolveModel('org/tiny@v1')).folder).toBe(folder);
    expect((await resolveModel(`org/tiny@${COMMIT}`)).folder).toBe(folder);
    await expect(resolveModel('org/tiny')).rejects.toThrow(/Run: notice pull org\/tiny/);
    vi.stubEnv('HF_TOKEN', 'secret');
    await expect(pullModel('org/tiny')).rejects.toThrow(/HF_TOKEN must begin with "hf_"/);
  });

  test.each(['model.safetensors', 'config.json'])(
    '%s with other bytes is refused and not kept',
    async (broken) => {
      const flip = (path: string, content: Buffer) =>
        path === broken ? Buffer.from(content.map((byte, i) => (i === 9 ? byte ^ 1 : byte))) : content;
      const server = await hub(MODEL, { content: flip });
      const error = await pullModel('org/tiny', { endpoint: server.url, cacheDir }).catch((e) => e);
      expect(error).toMatchObject({ code: 'weights' });
      expect(error.message).toMatch(new RegExp(`${broken} has the hash \\w+, not \\w+`));
      const blobs = await readdir(join(cacheDir, 'models--org--tiny', 'blobs'));
      expect(blobs.filter((name) => name.includes('incomplete'))).toEqual([]);
      await expect(resolveModel('org/tiny', cacheDir)).rejects.toThrow(/notice pull org\/tiny/);
    },
  );

  test('offline, the cache is all there is', async () => {
    const server = await hub(MODEL);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    const options = { endpoint: server.url, cacheDir };
    await expect(pullModel('org/tiny', options)).rejects.toThrow(/not in the cache/);
    const pulled = await pullModel('org/tiny', { ...options, offline: false });
    const asked = server.requests.length;
    expect(await pullModel('org/tiny', options)).toMatchObject({
      folder: pulled.folder,
      commit: COMMIT,
      files: [],
    });
    expect(server.requests).toHaveLength(asked);
  });

  test('what the user got wrong, in words', async () => {
    const { url: endpoint } = await hub({
      'config.json': Buffer.from('{}'),
      'pytorch_model.bin': Buffer.from('x'),
    });
    const options = { endpoint, cacheDir, attempts: 1 };
    const error = (model: string, more = {}) =>
      pullModel(model, { ...options, ...more }).catch((e: unknown) => e);
    expect(await error('org/other')).toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/has no model or revision org\/other/),
    });
    expect(await error('org/tiny@nowhere')).toMatchObject({ code: 'usage' });
    expect(await error('../../etc')).toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/is no model id/),
    });
    expect(await error('org/tiny')).toMatchObject({
      code: 'weights',
      message: expect.stringMatching(/no safetensors weights. Its files: config.json, pytorch_model.bin/),
    });
    expect(await error('org/tiny', { endpoint: 'http://127.0.0.1:1' })).toBeInstanceOf(NetworkError);
  });
});

describe('needed files', () => {
  test('the index, if there is no single file', () => {
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    const index = 'model.safetensors.index.json';
    const others = [
      'model.fp16.safetensors',
      'adapter_model.safetensors',
      'onnx/model.safetensors',
      'tf_model.h5',
    ];
    expect(neededFiles([...shards, index, ...others]).weights).toBe(index);
    expect(neededFiles([...shards, ...others]).weights).toBeUndefined();
    const single = 'model.safetensors';
    expect(neededFiles([...shards, index, ...others, single]).weights).toBe(single);
  });

  test('settings, but not those of other formats', () => {
    const wanted = [
      'config.json',
      'generation_config.json',
      'processor_config.json',
      'tokenizer_config.json',
    ];
    const more = [
      'special_tokens_map.json',
      'added_tokens.json',
      'tokenizer.model',
      'merges.txt',
      'vocab.json',
      'chat_template.json',
      'chat_template.jinja',
    ];
    const ofQueries = ['qformer_tokenizer/tokenizer.json', 'qformer_tokenizer/vocab.txt'];
    const not = [
      'pytorch_model.bin.index.json',
      'trainer_state.json',
      'README.md',
      'sub/config.json',
      'sub/tokenizer.json',
    ];
    expect(neededFiles([...wanted, ...more, ...ofQueries, ...not]).settings).toEqual([
      ...wanted,
      ...more,
      ...ofQueries,
    ]);
  });
});

describe('resolving', () => {
  test('a folder is itself; one without config.json is no model', async () => {
    const folder = await freshFolder();
    await expect(resolveModel(folder, cacheDir)).rejects.toThrow(/has no config.json/);
    await writeFile(join(folder, 'config.json'), '{}');
    expect(await resolveModel(folder, cacheDir)).toEqual({ folder });
    await expect(resolveModel(join(folder, 'config.json'), cacheDir)).rejects.toThrow(
      /neither a model folder nor/,
    );
    await expect(resolveModel('./no/such/folder', cacheDir)).rejects.toThrow(
      /neither a model folder nor a model id/,
    );
  });

  test('a snapshot without one of its shards is incomplete', async () => {
    const snapshot = join(cacheDir, 'models--org--big', 'snapshots', COMMIT);
    await mkdir(snapshot, { recursive: true });
    await mkdir(join(cacheDir, 'models--org--big', 'refs'));
    await writeFile(join(cacheDir, 'models--org--big', 'refs', 'main'), COMMIT);
    await writeFile(join(snapshot, 'config.json'), '{}');
    const weight_map = { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' };
    await writeFile(join(snapshot, 'model.safetensors.index.json'), JSON.stringify({ weight_map }));
    await writeFile(join(snapshot, weight_map.a), 'x');
    const error = await resolveModel('org/big', cacheDir).catch((e) => e);
    expect(error).toBeInstanceOf(NoticeError);
    expect(error.message).toMatch(
      /incomplete in the cache: no model-00002-of-00002.safetensors. Run: notice pull org\/big/,
    );
    await writeFile(join(snapshot, weight_map.b), 'x');
    expect((await resolveModel('org/big', cacheDir)).folder).toBe(snapshot);
    expect((await lstat(snapshot)).isDirectory()).toBe(true);
  });
});

describe('two at once', () => {
  test('the second waits and finds the model; each file is loaded once', async () => {
    const server = await hub(MODEL, {
      first: ({ url, response }) => {
        if (!url.pathname.endsWith('model.safetensors')) return false;
        const weights = MODEL['model.safetensors'] as Buffer;
        response.writeHead(200, { 'Content-Length': weights.length, ETag: '"w"' });
        response.write(weights.subarray(0, 70_000));
        setTimeout(() => response.end(weights.subarray(70_000)), 100);
        return true;
      },
    });
    const waits: string[] = [];
    const options = { endpoint: server.url, cacheDir, onWait: (owner: string) => waits.push(owner) };
    const both = await Promise.all([pullModel('org/tiny', options), pullModel('org/tiny@v1', options)]);
    expect(downloads(server).filter((name) => name === 'model.safetensors')).toHaveLength(1);
    expect(both[0]?.folder).toBe(both[1]?.folder);
    expect(waits).toHaveLength(1);
    for (const model of ['org/tiny', 'org/tiny@v1'])
      expect((await resolveModel(model, cacheDir)).folder).toBe(both[0]?.folder);
  });

  test('what Python is loading is left alone', async () => {
    const server = await hub(MODEL);
    const blobs = join(cacheDir, 'models--org--tiny', 'blobs');
    await mkdir(blobs, { recursive: true });
    const theirs = join(blobs, `${sha256(MODEL['model.safetensors'] as Buffer)}.incomplete`);
    await writeFile(theirs, 'half');
    await pullModel('org/tiny', { endpoint: server.url, cacheDir });
    expect(await readFile(theirs, 'utf8')).toBe('half');
  });
});

describe('shards', () => {
  const index = 'model.safetensors.index.json';
  const sharded = (...names: string[]): Files => ({
    'config.json': Buffer.from('{}'),
    [index]: Buffer.from(
      JSON.stringify({ weight_map: Object.fromEntries(names.map((n) => [`of ${n}`, n])) }),
    ),
    ...Object.fromEntries(names.map((name) => [name, Buffer.alloc(100, name)])),
    'model-00009-of-00009.safetensors': Buffer.from('of an older version'),
  });
  test.each([
    [['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']],
    [['model.safetensors-00001-of-00002.safetensors', 'model.safetensors-00002-of-00002.safetensors']],
    [['weights/a.safetensors', 'language model.safetensors']],
  ])('those that the index names: %j', async (names) => {
    const { url: endpoint } = await hub(sharded(...names));
    const { folder, files } = await pullModel('org/tiny', { endpoint, cacheDir });
    expect(files.map(({ path }) => path)).toEqual(['config.json', index, ...names]);
    expect((await resolveModel('org/tiny', cacheDir)).folder).toBe(folder);
    await rm(join(folder, names[1] as string));
    await expect(resolveModel('org/tiny', cacheDir)).rejects.toThrow(/incomplete in the cache: no /);
  });

  test('shards without an index are no weights', async () => {
    const { url: endpoint } = await hub({
      'config.json': Buffer.from('{}'),
      'model-00001-of-00001.safetensors': Buffer.from('x'),
    });
    const refusal = pullModel('org/tiny', { endpoint, cacheDir });
    await expect(refusal).rejects.toThrow(/no safetensors weights. Its files: config.json, model-00001-of/);
  });
});
