// The variables of huggingface_hub, and the proxies. Expected values of the first are those of Python's huggingface_hub 2.4.

import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { fetchText } from '../../src/hub/index.ts';
import { nodeFetch } from '../../src/platform/node/fetch.ts';
import {
  hubCacheFolder,
  hubEndpoint,
  hubOffline,
  hubSilenceMs,
  hubToken,
} from '../../src/platform/node/hub/environment.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { serve } from './server.ts';

beforeEach(() => {
  for (const name of Object.keys(process.env))
    if (/^(HF_|HUGGING|TRANSFORMERS_OFFLINE|XDG_CACHE)|_proxy$/i.test(name)) vi.stubEnv(name, undefined);
  return () => vi.unstubAllEnvs();
});

const set = (variables: Readonly<Record<string, string>>) => {
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
};

describe('the cache folder', () => {
  const home = homedir();
  test.each([
    [{}, `${home}/.cache/huggingface/hub`],
    [{ HF_HOME: '~/hf' }, `${home}/hf/hub`],
    [{ HF_HOME: '~' }, `${home}/hub`],
    [{ HF_HOME: '$BASE/hf' }, '/base/hf/hub'],
    [{ HF_HOME: `$\{BASE}/x$BASE` }, '/base/x/base/hub'],
    [{ HF_HOME: `/a/$NOT_SET/$\{NOT_SET}/b` }, `/a/$NOT_SET/$\{NOT_SET}/b/hub`],
    [{ HF_HOME: '/a/~/b' }, '/a/~/b/hub'],
    [{ HF_HOME: '' }, `${home}/.cache/huggingface/hub`],
    [{ XDG_CACHE_HOME: '~/c' }, `${home}/c/huggingface/hub`],
    [{ HF_HUB_CACHE: '~/direct', HF_HOME: '/other' }, `${home}/direct`],
    [{ HUGGINGFACE_HUB_CACHE: '$BASE' }, '/base'],
    [{ HF_HUB_CACHE: '/new', HUGGINGFACE_HUB_CACHE: '/old' }, '/new'],
  ])('%j → %s', (variables, folder) => {
    set({ BASE: '/base', ...variables });
    expect(hubCacheFolder()).toBe(folder);
  });

  test("another user's home is asked for in words", () => {
    set({ HF_HOME: '~somebody/hf' });
    expect(hubCacheFolder).toThrow(/HF_HOME begins with "~somebody"; give the whole path/);
  });
});

describe('the token', () => {
  test.each([
    ['hf_a', 'hf_a'],
    ['  hf_a\n', 'hf_a'],
    ['\thf_a\r\n', 'hf_a'],
    ['hf\r\n_a', 'hf_a'],
    ['   ', undefined],
    ['', undefined],
  ])('HF_TOKEN %j', async (value, token) => {
    set({ HF_TOKEN: value, HF_HOME: await freshFolder() });
    expect(await hubToken()).toBe(token);
  });

  test.each(['secret', 'hf_a b', 'hf_\u00e4', 'Bearer hf_a'])('%j is none, and not quoted', async (value) => {
    set({ HF_TOKEN: value });
    const error: Error = await hubToken().catch((e) => e);
    expect(error.message).toMatch(/^HF_TOKEN must begin with "hf_"/);
    expect(error.message).not.toContain(value);
  });

  test('of a login; not if that is switched off; the variable goes first', async () => {
    const folder = await freshFolder();
    set({ HF_HOME: folder });
    expect(await hubToken()).toBeUndefined();
    await writeFile(join(folder, 'token'), 'hf_login\n');
    expect(await hubToken()).toBe('hf_login');
    await writeFile(join(folder, 'elsewhere'), 'hf_elsewhere');
    set({ HF_TOKEN_PATH: join(folder, 'elsewhere') });
    expect(await hubToken()).toBe('hf_elsewhere');
    set({ HUGGING_FACE_HUB_TOKEN: 'hf_old' });
    expect(await hubToken()).toBe('hf_old');
    set({ HF_TOKEN: 'hf_new' });
    expect(await hubToken()).toBe('hf_new');
    expect(await hubToken(' hf_given ')).toBe('hf_given');
    set({ HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' });
    expect(await hubToken()).toBeUndefined();
    await mkdir(join(folder, 'no-file'));
    set({ HF_HUB_DISABLE_IMPLICIT_TOKEN: '', HF_TOKEN: '', HUGGING_FACE_HUB_TOKEN: '' });
    set({ HF_TOKEN_PATH: join(folder, 'no-file') });
    expect(await hubToken()).toBeUndefined();
  });
});

test.each([
  [undefined, 'https://huggingface.co'],
  ['', 'https://huggingface.co'],
  [' https://hub.example.org/hf// \n', 'https://hub.example.org/hf'],
])('HF_ENDPOINT %j', (value, endpoint) => {
  set(value === undefined ? {} : { HF_ENDPOINT: value });
  expect(hubEndpoint()).toBe(endpoint);
});

test.each(['hub.example.org', 'ftp://hub', 'https://user:password@hub', 'https://hub?x', 'http://'])(
  'HF_ENDPOINT %j is none',
  (value) => {
    set({ HF_ENDPOINT: value });
    expect(hubEndpoint).toThrow(/must be http:\/\/ or https:\/\/ with a host, without a password\.$/);
  },
);

test('offline, and the time for silence', () => {
  expect([hubOffline(), hubSilenceMs()]).toEqual([false, undefined]);
  set({ TRANSFORMERS_OFFLINE: 'yes', HF_HUB_DOWNLOAD_TIMEOUT: '5' });
  expect([hubOffline(), hubSilenceMs()]).toEqual([true, 5000]);
  set({ HF_HUB_OFFLINE: '0' });
  expect(hubOffline()).toBe(false);
});

describe('proxies', () => {
  /** Answers for every host, and notes what it is asked. */
  async function proxy(): Promise<{ url: string; asked: string[]; who: (string | undefined)[] }> {
    const asked: string[] = [];
    const who: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      who.push(request.headers['proxy-authorization']);
      response.end('by the proxy');
    });
    server.on('connect', (request, socket) => {
      asked.push(`CONNECT ${request.url}`);
      socket.end('HTTP/1.1 502 no\r\n\r\n');
    });
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, who };
  }
  const get = (url: string) => fetchText(url, {}, { fetch: nodeFetch, attempts: 1 });
  const FAR = 'http://hub.test.invalid/x?y';

  test.each(['http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'])('%s', async (name) => {
    const { url, asked } = await proxy();
    set({ [name]: url });
    expect(await get(FAR)).toBe('by the proxy');
    set({ [name]: url.slice('http://'.length) });
    expect(await get(FAR)).toBe('by the proxy');
    expect(asked).toEqual([`GET ${FAR}`, `GET ${FAR}`]);
  });

  test('https_proxy is for https alone, through a tunnel; all_proxy for what has no own', async () => {
    const [secure, all] = [await proxy(), await proxy()];
    set({ HTTPS_PROXY: secure.url });
    await expect(get('https://hub.test.invalid/')).rejects.toThrow(/hub\.test\.invalid/);
    await expect(get(FAR)).rejects.toThrow(/hub\.test\.invalid/);
    expect(secure.asked).toEqual(['CONNECT hub.test.invalid:443']);
    set({ ALL_PROXY: all.url });
    expect(await get(FAR)).toBe('by the proxy');
    expect([secure.asked.length, all.asked.length]).toEqual([1, 1]);
    set({ HTTPS_PROXY: '', HTTP_PROXY: all.url, ALL_PROXY: '' });
    await expect(get('https://hub.test.invalid/')).rejects.toThrow(/hub\.test\.invalid/);
    expect(all.asked).toHaveLength(1);
  });

  test('small letters go first, and switch off when they are empty', async () => {
    const [small, large] = [await proxy(), await proxy()];
    set({ http_proxy: small.url, HTTP_PROXY: large.url });
    await get(FAR);
    set({ http_proxy: '' });
    const { url } = await serve((_, response) => response.end('itself'));
    expect(await get(url)).toBe('itself');
    expect([small.asked.length, large.asked.length]).toEqual([1, 0]);
  });

  test('no_proxy: hosts, domains, ports, all', async () => {
    const { url: proxyUrl, asked } = await proxy();
    const { url } = await serve((_, response) => response.end('itself'));
    const { port } = new URL(url);
    set({ http_proxy: proxyUrl });
    for (const names of ['127.0.0.1', 'x.org, 127.0.0.1', `127.0.0.1:${port}`, '*']) {
      set({ NO_PROXY: names });
      expect(await get(url)).toBe('itself');
    }
    for (const names of ['x.org', '127.0.0.1:1', '']) {
      set({ NO_PROXY: names });
      expect(await get(url)).toBe('by the proxy');
    }
    expect(asked).toHaveLength(3);
  });

  test('a password is for the proxy; a variable that is no address is not quoted', async () => {
    const { url, who } = await proxy();
    set({ http_proxy: url.replace('//', '//user:word@') });
    await get(FAR);
    expect(who).toEqual([`Basic ${Buffer.from('user:word').toString('base64')}`]);
    set({ http_proxy: 'ftp://user:word@proxy' });
    await expect(get(FAR)).rejects.toThrow(/^http_proxy \(or all_proxy\) is no address of an http, https or/);
  });
});
