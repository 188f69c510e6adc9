// Folders on servers: what is asked for, what is kept, and what goes wrong on the way.

import { afterEach, describe, expect, test, vi } from 'vitest';
import { NetworkError } from '../../src/hub/index.ts';
import { httpFolder, hubFolder, readJson, readText } from '../../src/weights/index.ts';
import { type Behaviour, COMMIT, type Files, gitSha1, hub, sha256 } from '../hub/hub.ts';
import { type LocalServer, sendFile, serve } from '../hub/server.ts';
import { MemoryStore } from './support.ts';

const MIB = 1024 ** 2;
/** The first piece and five of 8 MiB. */
const WEIGHTS = Buffer.alloc(40 * MIB + 5);
for (let i = 0; i < WEIGHTS.length; i += 4096) WEIGHTS.writeUInt32LE(i ^ 0x5bd1e995, i);
const FILES: Files = {
  'config.json': Buffer.from('{"model_type": "blip"}'),
  'model.safetensors': WEIGHTS,
  'README.md': Buffer.from('# A model'),
};
/** Retries without pauses. */
const QUICK = { pauseMs: 1 };

/** Ranges that were asked of the weights. */
const ranges = ({ requests }: LocalServer) =>
  requests.filter(({ line }) => line.endsWith('.safetensors')).map(({ headers }) => headers.range);

async function open(behaviour: Behaviour = {}, options = {}) {
  const server = await hub(FILES, behaviour);
  return { server, folder: await hubFolder('org/tiny', { endpoint: server.url, ...QUICK, ...options }) };
}

function expectBytes(bytes: Uint8Array, begin: number, length: number): void {
  expect(bytes).toHaveLength(length);
  expect(Buffer.compare(bytes, WEIGHTS.subarray(begin, begin + length)), `bytes from ${begin}`).toBe(0);
}

afterEach(() => vi.unstubAllEnvs());

describe('a folder of the hub', () => {
  test('lists its files, and asks for none of them twice', async () => {
    const { server, folder } = await open();
    expect(folder).toMatchObject({
      id: 'org/tiny',
      commit: COMMIT,
      name: `${server.url}/org/tiny@${COMMIT}`,
    });
    expect(folder.files.get('model.safetensors')).toMatchObject({
      size: WEIGHTS.length,
      hash: sha256(WEIGHTS),
    });
    expect(folder.files.get('config.json')?.hash).toBe(gitSha1(FILES['config.json']!));
    const listed = server.requests.length;
    for (let time = 0; time < 2; time++) {
      expect(await readJson(folder, 'config.json')).toEqual({ model_type: 'blip' });
      expect(await folder.open('preprocessor_config.json')).toBeUndefined();
    }
    expect(server.requests.slice(listed).map(({ line }) => line)).toEqual([
      `GET /org/tiny/resolve/${COMMIT}/config.json`,
    ]);
  });

  test('reads on in few requests, and jumps in small ones', async () => {
    const { server, folder } = await open();
    const file = (await folder.open('model.safetensors'))!;
    const step = 3 * MIB;
    for (let at = 0; at < WEIGHTS.length; at += step) {
      const length = Math.min(step, WEIGHTS.length - at);
      expectBytes(await file.read(at, length), at, length);
    }
    const first = 64 * 1024;
    const piece = (n: number) => first + n * 8 * MIB;
    expect(ranges(server)).toEqual([
      `bytes=0-${first - 1}`,
      `bytes=${first}-${piece(1) - 1}`,
      `bytes=${piece(1)}-${WEIGHTS.length - 1}`,
    ]);
    await file.close();
    const { server: other, folder: again } = await open();
    await (await again.open('model.safetensors'))!.read(piece(3) + 5, 10);
    expect(ranges(other)).toEqual([`bytes=${piece(3)}-${piece(4) - 1}`]);
  });

  test('goes on where a connection broke', async () => {
    let cuts = 0;
    const { server, folder } = await open({ cutAfter: () => (++cuts % 2 ? 3 * MIB : undefined) });
    const file = (await folder.open('model.safetensors'))!;
    expectBytes(await file.read(0, WEIGHTS.length), 0, WEIGHTS.length);
    const first = 64 * 1024;
    expect(ranges(server).slice(0, 3)).toEqual([
      `bytes=0-${first - 1}`,
      `bytes=${first}-${first + 8 * MIB - 1}`,
      `bytes=${first + 8 * MIB}-${WEIGHTS.length - 1}`,
    ]);
    expect(ranges(server)).toContain(`bytes=${first + 11 * MIB}-${WEIGHTS.length - 1}`);
  });

  test('what a store keeps is not asked for again, by a folder of later either', async () => {
    const cache = new MemoryStore();
    const { server, folder } = await open({}, { cache });
    const half = (await folder.open('model.safetensors'))!;
    await half.read(0, 10 * MIB);
    await half.close(); // interrupts the rest
    const asked = ranges(server).length;
    const [listing] = await cache.list();
    expect(listing).toMatchObject({
      folder: `${server.url}/org/tiny`,
      path: 'model.safetensors',
      tag: sha256(WEIGHTS),
    });
    expect(listing!.kept).toBeGreaterThanOrEqual(16 * MIB + 64 * 1024);

    const resumed = await hubFolder('org/tiny', { endpoint: server.url, ...QUICK, cache });
    const file = (await resumed.open('model.safetensors'))!;
    expectBytes(await file.read(0, WEIGHTS.length), 0, WEIGHTS.length);
    expect(ranges(server).length).toBeGreaterThan(asked);
    expect(ranges(server)[asked]).not.toMatch(/^bytes=(0|65536)-/);
    expect((await cache.list())[0]!.kept).toBe(WEIGHTS.length);

    const before = ranges(server).length;
    const later = (await folder.keptIn(cache).open('model.safetensors'))!;
    expectBytes(await later.read(0, WEIGHTS.length), 0, WEIGHTS.length);
    expect(ranges(server)).toHaveLength(before);
    await cache.delete(`${server.url}/org/tiny`);
    expect(await cache.list()).toEqual([]);
  });

  test('a store without room does not get in the way', async () => {
    const cache = new MemoryStore();
    cache.room = 2;
    const { folder } = await open({}, { cache });
    const file = (await folder.open('model.safetensors'))!;
    expectBytes(await file.read(0, WEIGHTS.length), 0, WEIGHTS.length);
    expect((await cache.list())[0]!.kept).toBe(64 * 1024 + 8 * MIB);
  });

  /** A server without ranges. */
  const rangeless = (cutAfter: () => number | undefined = () => undefined): Behaviour => ({
    first: ({ request, response, url }) => {
      if (!url.pathname.endsWith('.safetensors')) return false;
      delete request.headers.range;
      const cut = cutAfter();
      sendFile(request, response, WEIGHTS, cut ? { cutAfter: cut } : {});
      return true;
    },
  });

  test('of a server without ranges a file is taken whole, once', async () => {
    const whole = rangeless();
    for (const cache of [undefined, new MemoryStore()]) {
      const { server, folder } = await open(whole, { cache, maxWholeBytes: cache ? 1 : 64 * MIB });
      const file = (await folder.open('model.safetensors'))!;
      expectBytes(await file.read(20 * MIB, 9 * MIB), 20 * MIB, 9 * MIB);
      expectBytes(await file.read(0, WEIGHTS.length), 0, WEIGHTS.length);
      expect(ranges(server)).toHaveLength(1);
      if (cache) expect((await cache.list())[0]!.kept).toBe(WEIGHTS.length);
    }
    const full = new MemoryStore();
    full.room = 1;
    const { folder: without } = await open(whole, { cache: full, maxWholeBytes: 1 });
    const lost = (await without.open('model.safetensors'))!;
    await expect(lost.read(20 * MIB, 8)).rejects.toThrow(/at most 1 are held in memory/);
    const { folder } = await open(whole, { maxWholeBytes: 40 * MIB });
    const refused = (await folder.open('model.safetensors'))!;
    await expect(refused.read(0, 8)).rejects.toThrow(
      /ignores range requests.*at most 41943040 are held in memory/,
    );
  });

  test('of a server without ranges a file whose connection broke is taken again', async () => {
    let cuts = 0;
    const { server, folder } = await open(rangeless(() => (++cuts === 1 ? 20 * MIB : undefined)));
    const file = (await folder.open('model.safetensors'))!;
    expectBytes(await file.read(0, WEIGHTS.length), 0, WEIGHTS.length);
    expect(ranges(server)).toHaveLength(2);
  });

  test('the token goes to the hub alone', async () => {
    const token = 'hf_secret';
    const elsewhere = await serve((request, response) => sendFile(request, response, WEIGHTS));
    const behaviour: Behaviour = {
      token,
      first: ({ response, url }) => {
        if (!url.pathname.endsWith('.safetensors')) return false;
        response.writeHead(302, { Location: `${elsewhere.url}/blob` }).end();
        return true;
      },
    };
    vi.stubEnv('HF_TOKEN', token);
    const { server, folder } = await open(behaviour);
    await (await folder.open('model.safetensors'))!.read(0, 8);
    await readText(folder, 'config.json');
    expect(server.requests.every(({ headers }) => headers.authorization === `Bearer ${token}`)).toBe(true);
    expect(elsewhere.requests).toHaveLength(1);
    expect(elsewhere.requests[0]!.headers.authorization).toBeUndefined();
    expect(JSON.stringify(folder)).not.toContain(token);
    vi.stubEnv('HF_TOKEN', '');
    await expect(open(behaviour)).rejects.toThrow(/gives no access to org\/tiny: .*HTTP 401/);
    await expect(open(behaviour, { token: 'hf_other' })).rejects.toMatchObject({ code: 'usage' });
    await expect(open(behaviour, { token: 'x' })).rejects.toThrow('must begin with "hf_"');
  });

  test.each([
    ['whose files may not be read', 403, 'usage', /gives no access to org\/tiny: .*HTTP 403/],
    ['that has lost a file', 404, 'usage', /HTTP 404/],
    ['that has no such bytes', 416, 'network', /HTTP 416/],
    ['that is asked too often', 429, 'network', /HTTP 429/],
  ])('a hub %s', async (_, status, code, message) => {
    const { folder } = await open({
      first: ({ url, json }) => {
        if (url.pathname.endsWith('.safetensors')) json({ error: 'no' }, status);
        return url.pathname.endsWith('.safetensors');
      },
    });
    const refused = (await folder.open('model.safetensors'))!.read(0, 8);
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toMatchObject({ code });
  });

  test.each([
    ['longer', Buffer.concat([WEIGHTS, Buffer.of(1)])],
    ['shorter', WEIGHTS.subarray(1)],
  ])('a file that is %s than the hub lists is refused', async (_, content) => {
    const { folder } = await open({
      content: (path, own) => (path.endsWith('.safetensors') ? content : own),
    });
    const refused = (await folder.open('model.safetensors'))!.read(0, 8);
    await expect(refused).rejects.toThrow(NetworkError);
    await expect(refused).rejects.toThrow(
      new RegExp(`of ${WEIGHTS.length}.*bytes 0-65535/${content.length}`),
    );
  });

  test('no model, no revision, no weights', async () => {
    const server = await hub({ 'config.json': FILES['config.json']!, 'pytorch_model.bin': Buffer.of(1) });
    const at = (model: string) => hubFolder(model, { endpoint: server.url });
    await expect(at('org/tiny')).rejects.toThrow(/org\/tiny has no safetensors weights.*pytorch_model\.bin/);
    await expect(at('org/other')).rejects.toThrow(/has no model or revision org\/other: .*HTTP 404/);
    await expect(at('org/tiny@v9')).rejects.toThrow(/has no model or revision org\/tiny@v9/);
    await expect(at('../tiny')).rejects.toThrow('"../tiny" is no model id');
    await expect(at('org/tiny@..')).rejects.toThrow('".." is no revision');
  });
});

describe('a folder on a web server', () => {
  /** A server that answers with a page where there is no file, as those of single-page applications do. */
  const withPage = (files: Files) =>
    serve((request, response) => {
      const content = files[(request.url as string).slice(1)];
      if (content) sendFile(request, response, content);
      else response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html>');
    });

  test('a page in the place of a file is no file, and a wrong path says so', async () => {
    const server = await withPage(FILES);
    const folder = httpFolder(server.url);
    expect(await folder.open('notice.json')).toBeUndefined();
    expect(await readText(folder, 'config.json')).toContain('blip');
    await expect(readText(httpFolder(`${server.url}/wrong`), 'config.json')).rejects.toThrow(
      /\/wrong has no config\.json \(the server answers with a page of HTML in its place\)\. Is it a complete/,
    );
  });

  test('a file that changes is kept anew, and its old version is forgotten', async () => {
    const files = { 'a.bin': Buffer.alloc(100_000, 1) };
    const server = await withPage(files);
    const cache = new MemoryStore();
    const read = async () => {
      const file = (await httpFolder(server.url, { cache }).open('a.bin'))!;
      return (await file.read(0, file.size)).every((byte) => byte === files['a.bin'][0]);
    };
    expect([await read(), await read()]).toEqual([true, true]);
    // The second time only the first piece, with which the version comes.
    expect(server.requests).toHaveLength(3);
    files['a.bin'] = Buffer.alloc(100_000, 2);
    expect(await read()).toBe(true);
    expect((await cache.list()).map(({ kept }) => kept)).toEqual([100_000]);
  });

  test('several readers share a request; the last to close ends it', async () => {
    const server = await withPage({ 'a.bin': WEIGHTS });
    const folder = httpFolder(server.url);
    const [one, two] = [(await folder.open('a.bin'))!, (await folder.open('a.bin'))!];
    const reads = [one.read(100_000, 10), two.read(200_000, 10)];
    await one.close();
    await Promise.all(reads);
    expect(server.requests).toHaveLength(2);
    const givenUp = expect(two.read(10 * MIB, 10)).rejects.toThrow('the file was closed');
    await two.close();
    await givenUp;
    // Who opens it in the same moment is not served what was given up.
    const next = (await folder.open('a.bin'))!;
    const abandoned = expect(next.read(20 * MIB, 10)).rejects.toThrow('the file was closed');
    await new Promise((sent) => setTimeout(sent));
    void next.close();
    const last = (await folder.open('a.bin'))!;
    expectBytes(await last.read(20 * MIB, 10), 20 * MIB, 10);
    await abandoned;
    const count = server.requests.length;
    expect(await (await folder.open('a.bin'))!.read(100_000, 10)).toEqual(
      new Uint8Array(WEIGHTS.subarray(100_000, 100_010)),
    );
    expect(server.requests).toHaveLength(count);
  });
});
