// What `notice explorer` serves: one folder, on this machine alone.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { type StaticServer, serveFolder } from '../../src/cli/static-server.ts';

const POLICY = "default-src 'none'; script-src 'self'";
let folder: string;

beforeAll(() => {
  const parent = mkdtempSync(join(tmpdir(), 'notice-server-'));
  folder = join(parent, 'page');
  mkdirSync(folder);
  writeFileSync(join(parent, 'secret.txt'), 'not served');
  return () => rmSync(parent, { recursive: true });
});

async function served(port?: number, base?: string): Promise<StaticServer> {
  const policy = `<meta http-equiv="Content-Security-Policy"\n content="${POLICY}" />`;
  writeFileSync(join(folder, 'index.html'), policy);
  writeFileSync(join(folder, 'worker.js'), 'postMessage(1)');
  const server = await serveFolder(folder, port, base);
  onTestFinished(() => server.close());
  return server;
}

test('files with their types, ranges, and the policy of the page', async () => {
  const { address } = await served(0, '/notice/');
  const script = await fetch(`${address}worker.js`, { headers: { range: 'bytes=0-3' } });
  expect(script.status).toBe(206);
  expect(await script.text()).toBe('post');
  expect(script.headers.get('content-type')).toMatch(/javascript/);
  expect(script.headers.get('content-security-policy')).toBe(POLICY);
  expect((await fetch(address)).headers.get('content-type')).toMatch(/html/);
});

test.each(['../secret.txt', '%2e%2e/secret.txt', '..%2fsecret.txt', 'missing.txt'])(
  '%s is not found',
  async (path) => {
    const { address } = await served();
    // fetch would resolve the dots itself.
    const status = await new Promise((resolve) =>
      get({ ...urlParts(address), path: `/${path}` }, ({ statusCode }) => resolve(statusCode)),
    );
    expect(status).toBe(404);
  },
);

test('what the page lacks comes from the folders that stand in for its own, and from nowhere else', async () => {
  const models = mkdtempSync(join(tmpdir(), 'notice-models-'));
  onTestFinished(() => rmSync(models, { recursive: true }));
  mkdirSync(join(models, 'tiny'));
  writeFileSync(join(models, 'tiny/config.json'), '{}');
  writeFileSync(join(folder, 'index.html'), '');
  const server = await serveFolder(folder, 0, '/', { models });
  onTestFinished(() => server.close());
  const found = await fetch(`${server.address}models/tiny/config.json`);
  expect([found.status, await found.text()]).toEqual([200, '{}']);
  for (const path of ['models/tiny/none.json', 'models/../secret.txt', 'tiny/config.json'])
    expect((await fetch(`${server.address}${path}`)).status, path).toBe(404);
});

test('only this machine reaches it', async () => {
  const { port } = urlParts((await served()).address);
  const own = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4');
  if (own) await expect(fetch(`http://${own.address}:${port}/`)).rejects.toThrow();
});

test('a port that is taken', async () => {
  const { port } = urlParts((await served()).address);
  await expect(served(Number(port))).rejects.toThrow(`port ${port} is taken: name another by --port`);
});

function urlParts(address: string): { hostname: string; port: string } {
  const { hostname, port } = new URL(address);
  return { hostname, port };
}
