import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fetchText, NetworkError } from '../../src/hub/index.ts';
import { downloadTo } from '../../src/platform/node/hub/index.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { sendFile, serve } from './server.ts';

const content = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7) % 251));
const quick = { pauseMs: 1 };
const ranges = (requests: readonly { headers: { range?: string } }[]) =>
  requests.map(({ headers }) => headers.range);

describe('retries', () => {
  test.each([408, 429, 500, 503])('HTTP %i passes', async (status) => {
    let calls = 0;
    const { url } = await serve((_, response) => {
      response.writeHead(++calls < 3 ? status : 200).end('here');
    });
    expect(await fetchText(url, {}, quick)).toBe('here');
    expect(calls).toBe(3);
  });

  test('HTTP 404 does not, and says what the server said', async () => {
    const { url, requests } = await serve((_, response) => response.writeHead(404).end('no such thing'));
    const error = await fetchText(url, {}, quick).catch((e) => e);
    expect(error).toBeInstanceOf(NetworkError);
    expect(error).toMatchObject({
      status: 404,
      temporary: false,
      message: `${url}: HTTP 404, no such thing`,
    });
    expect(requests).toHaveLength(1);
  });

  test('a server that is not there, or that stays silent', async () => {
    const gone = await fetchText('http://127.0.0.1:1/', {}, { ...quick, attempts: 2 }).catch((e) => e);
    expect(gone).toBeInstanceOf(NetworkError);
    expect(gone.temporary).toBe(true);
    const { url, requests } = await serve(() => {});
    const silent = fetchText(url, {}, { ...quick, attempts: 2, silenceMs: 50 });
    await expect(silent).rejects.toThrow(/the server was silent for 0.05 s/);
    expect(requests).toHaveLength(2);
  });

  test('Retry-After goes before the pause of our own', async () => {
    let calls = 0;
    const { url } = await serve((_, response) => {
      if (++calls === 1) response.writeHead(429, { 'Retry-After': '0' }).end();
      else response.end('here');
    });
    expect(await fetchText(url, {}, { pauseMs: 600_000 })).toBe('here');
  });

  test.each(['file:///etc/passwd', 'ftp://x/y', 'nonsense', ''])('"%s" is no address', async (url) => {
    await expect(fetchText(url, {}, quick)).rejects.toThrow(/not an http or https address/);
  });
});

describe('downloads', () => {
  test('a connection that breaks again and again is gone on with', async () => {
    const server = await serve((request, response) =>
      sendFile(request, response, content, { cutAfter: 70_000 }),
    );
    const file = join(await freshFolder(), 'x');
    // 5 parts with only 2 attempts: progress counts as success
    expect(await downloadTo(server.url, file, { ...quick, attempts: 2 })).toBe(content.length);
    expect(content.equals(await readFile(file))).toBe(true);
    expect(ranges(server.requests)).toEqual([undefined, ...[70, 140, 210, 280].map((k) => `bytes=${k}000-`)]);
    await expect(readFile(`${file}.validator`)).rejects.toThrow();
  });

  test('an interrupted download is gone on with by the next call', async () => {
    let cut: number | undefined = 100_000;
    const server = await serve((request, response) =>
      sendFile(request, response, content, { cutAfter: cut as number }),
    );
    const file = join(await freshFolder(), 'x');
    await expect(downloadTo(server.url, file, { ...quick, attempts: 1 })).rejects.toThrow(NetworkError);
    cut = undefined;
    await downloadTo(server.url, file, quick);
    expect(ranges(server.requests)).toEqual([undefined, 'bytes=100000-']);
    expect(content.equals(await readFile(file))).toBe(true);
  });

  test('a file that changed meanwhile is loaded anew', async () => {
    const old = Buffer.alloc(300_000, 1);
    let first = true;
    const { url } = await serve((request, response) => {
      sendFile(request, response, first ? old : content, first ? { cutAfter: 100_000 } : {});
      first = false;
    });
    const file = join(await freshFolder(), 'x');
    expect(await downloadTo(url, file, quick)).toBe(content.length);
    expect(content.equals(await readFile(file))).toBe(true);
  });

  test('without ETag or date there is nothing to go on with', async () => {
    let first = true;
    const server = await serve((_, response) => {
      response.setHeader('Content-Length', content.length);
      if (first) response.write(content.subarray(0, 1000), () => setTimeout(() => response.destroy(), 20));
      else response.end(content);
      first = false;
    });
    const file = join(await freshFolder(), 'x');
    await downloadTo(server.url, file, quick);
    expect(ranges(server.requests)).toEqual([undefined, undefined]);
    expect(content.equals(await readFile(file))).toBe(true);
  });

  test('a server that refuses the rest, or sends another part, is asked for the whole', async () => {
    for (const odd of ['refuses', 'shifts']) {
      const server = await serve((request, response) => {
        if (!request.headers.range) sendFile(request, response, content);
        else if (odd === 'refuses') response.writeHead(416).end();
        else response.writeHead(206, { 'Content-Range': `bytes 5-299999/300000` }).end(content.subarray(5));
      });
      const file = join(await freshFolder(), 'x');
      await writeFile(file, content.subarray(0, 1000));
      await writeFile(`${file}.validator`, '"any"');
      await downloadTo(server.url, file, quick);
      expect(ranges(server.requests)).toEqual(['bytes=1000-', undefined]);
      expect(content.equals(await readFile(file))).toBe(true);
    }
  });

  test('too long a file is refused, with and without a length', async () => {
    const { url } = await serve((request, response) => {
      if (request.url === '/whole') return sendFile(request, response, content);
      // Sent in two, so that the server does not put the length into the header.
      response.write(content.subarray(0, 600));
      response.end(content.subarray(600, 1001));
    });
    const file = join(await freshFolder(), 'x');
    for (const path of ['/whole', '/chunked']) {
      const longer = /longer than 1000 bytes/;
      await expect(downloadTo(url + path, file, { ...quick, maxBytes: 1000 })).rejects.toThrow(longer);
      await expect(fetchText(url + path, {}, { ...quick, maxBytes: 1000 })).rejects.toThrow(longer);
    }
    expect(await downloadTo(`${url}/chunked`, file, { ...quick, maxBytes: 1001 })).toBe(1001);
    await fetchText(`${url}/chunked`, {}, { ...quick, maxBytes: 1001 });
  });

  test('too long a file is refused before it comes, where its length is told', async () => {
    const { url } = await serve((_, response) => {
      response.writeHead(200, { 'Content-Length': 1001 }).flushHeaders(); // and nothing follows
    });
    const file = join(await freshFolder(), 'x');
    const options = { ...quick, maxBytes: 1000, silenceMs: 5000, attempts: 1 };
    await expect(downloadTo(url, file, options)).rejects.toThrow(/longer than 1000 bytes/);
  });

  test('a folder that cannot be written to is not the network', async () => {
    const { url, requests } = await serve((request, response) => sendFile(request, response, content));
    await expect(downloadTo(url, '/nowhere/x', quick)).rejects.toThrow(/ENOENT/);
    expect(requests).toHaveLength(1);
  });
});
