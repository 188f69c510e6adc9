import { mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NoticeError } from '../../src/errors.ts';
import { NetworkError } from '../../src/hub/index.ts';
import { fileSource, nodeFolder } from '../../src/platform/node/files.ts';
import {
  type ByteSource,
  blobSource,
  filesFolder,
  httpFolder,
  httpSource,
  ModelFileError,
  memorySource,
  readJson,
  readText,
  WeightsError,
} from '../../src/weights/index.ts';
import { type FileServer, serveFiles } from './server.ts';
import { MemoryFolder } from './support.ts';

/** Longer than what the first request of an HTTP source brings. */
const BYTES = Uint8Array.from({ length: 200_001 }, (_, i) => (i * 7919) >> 3);
const SMALL = new TextEncoder().encode('{"small": true}');

let folder: string;
let server: FileServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'notice-test-'));
  await writeFile(join(folder, 'bytes.bin'), BYTES);
  await writeFile(join(folder, 'small.json'), SMALL);
  server = await serveFiles({ 'bytes.bin': BYTES, 'small.json': SMALL, 'empty.bin': new Uint8Array(0) });
});

afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

/** Patience for a server that says what is wrong with it at once. */
const QUICK = { pauseMs: 1 };
const at = (path: string, options = {}) => httpSource(`${server.url}/${path}`, { ...QUICK, ...options });

describe.each<[string, () => Promise<ByteSource>]>([
  ['memory', async () => memorySource(BYTES, 'bytes')],
  ['a blob', async () => blobSource(new Blob([BYTES]), 'bytes')],
  ['a file', () => fileSource(join(folder, 'bytes.bin'))],
  ['a server', () => at('good/bytes.bin')],
  ['a server without ranges', () => at('plain/bytes.bin')],
])('%s', (_, open) => {
  it('gives any range of bytes', async () => {
    const source = await open();
    expect(source.size).toBe(BYTES.length);
    for (const [offset, length] of [
      [0, 8],
      [3, 5],
      [65_000, 1000],
      [100_001, 100_000],
      [200_001, 0],
      [0, 0],
      [0, 200_001],
    ] as const) {
      const bytes = await source.read(offset, length);
      expect(Buffer.compare(bytes, BYTES.subarray(offset, offset + length))).toBe(0);
      expect(bytes.byteOffset).toBe(0);
    }
    for (const [offset, length] of [
      [200_001, 1],
      [-1, 1],
      [0, -1],
      [0.5, 1],
      [Number.NaN, 1],
    ] as const)
      await expect(source.read(offset, length)).rejects.toThrow(RangeError);
    await source.close();
  });

  it('gives bytes that the caller may change', async () => {
    const source = await open();
    (await source.read(0, 4)).fill(99);
    expect(await source.read(0, 4)).toEqual(BYTES.slice(0, 4));
    await source.close();
  });
});

describe('an HTTP source', () => {
  it('asks for the beginning once, then for pieces, none twice', async () => {
    const before = server.ranges.length;
    const source = await at('good/bytes.bin');
    await source.read(0, 8);
    await source.read(8, 1000);
    await source.read(70_000, 10);
    await source.read(180_000, 10);
    // The first piece, and the next: the rest of the file.
    expect(server.ranges.slice(before)).toEqual(['bytes=0-65535', 'bytes=65536-200000']);
  });

  it('reads a small file with one request, and an empty one', async () => {
    const before = server.ranges.length;
    const source = await at('good/small.json');
    expect(await source.read(0, source.size)).toEqual(SMALL);
    expect(server.ranges.length - before).toBe(1);
    expect((await at('good/empty.bin')).size).toBe(0);
  });

  it('sends the given headers every time', async () => {
    const source = await at('secret/bytes.bin', { headers: { authorization: 'Bearer token' } });
    expect(await source.read(150_000, 3)).toEqual(BYTES.slice(150_000, 150_003));
    await expect(at('secret/bytes.bin')).rejects.toMatchObject({ code: 'network', status: 401 });
  });

  it.each([
    ['missing', 'good/other.bin', 'weights', /other\.bin does not exist/],
    ['a page', 'page/bytes.bin', 'weights', /is a page of HTML/],
    ['endless without ranges', 'endless/bytes.bin', 'network', /longer than 1000000 bytes/],
    [
      'without Content-Range',
      'unnamed/bytes.bin',
      'network',
      /found \(none\).*Access-Control-Expose-Headers/,
    ],
    ['without access', 'forbidden/bytes.bin', 'network', /HTTP 403/],
    ['asked for too often', 'busy/bytes.bin', 'network', /HTTP 429/],
    ['without ranges that can be had', 'rangeless/bytes.bin', 'network', /HTTP 416/],
  ])('refuses a file that is %s', async (_, path, code, message) => {
    const refusal = at(path, { maxWholeBytes: 1_000_000 });
    await expect(refusal).rejects.toThrow(NoticeError);
    await expect(refusal).rejects.toThrow(message);
    await expect(refusal).rejects.toMatchObject({ code });
  });

  it('refuses a file that is larger than memory may hold whole', async () => {
    const source = await at('giant/bytes.bin');
    expect(source.size).toBe(10 * 2 ** 30);
    await expect(source.read(0, 8)).rejects.toThrow(/ignores range requests.*10737418240 bytes.*536870912/);
  });

  it.each([
    ['has changed', 'changing', /asked for bytes 65536 to 200001 of 200001.*65536-200000\/200002.*changed/],
    ['is of another version', 'versions', /its ETag was "1" and is "2"/],
    ['comes from the wrong place', 'shifted', /asked for bytes 65536 to 200001.*bytes 0-200000/],
    ['comes short', 'short', /ended after 200000 of 200001 bytes/],
    ['breaks off before it begins', 'breaking', /bytes\.bin: ./],
    ['does not end', 'overfull', /sends more than the 200001 bytes asked for/],
    ['does not come', 'silent', /silent for 0\.2 s/],
    ['comes to a stop', 'stuck', /the server sent 1 bytes in 0\.2 s/],
    ['comes whole, with another size', 'other', /the whole file came, with 200002 bytes instead of 200001/],
  ])('refuses a later piece that %s', async (_, behaviour, message) => {
    const source = await at(`${behaviour}/bytes.bin`, { silenceMs: 200, attempts: 2 });
    const refusal = source.read(100_000, 100);
    await expect(refusal).rejects.toThrow(NetworkError);
    await expect(refusal).rejects.toThrow(message);
  });

  it.each(['whole', 'flaky', 'crumbs'])('takes a later piece that comes %s', async (behaviour) => {
    const source = await at(`${behaviour}/bytes.bin`);
    expect(await source.read(100_000, 100_001)).toEqual(BYTES.slice(100_000));
    expect(await source.read(0, 200_001)).toEqual(BYTES);
  });

  it('reads no larger file whole than it may, and ends when the caller wants no more', async () => {
    const plain = `${server.url}/plain/bytes.bin`;
    const whole = await httpSource(plain, { maxWholeBytes: 200_001 });
    expect(await whole.read(0, 200_001)).toEqual(BYTES);
    const refused = await httpSource(plain, { maxWholeBytes: 200_000 });
    await expect(refused.read(0, 1)).rejects.toThrow(/at most 200000 are held in memory/);
    const controller = new AbortController();
    const source = await httpSource(`${server.url}/silent/bytes.bin`, { signal: controller.signal });
    setTimeout(() => controller.abort(new Error('enough')), 20);
    await expect(source.read(100_000, 100)).rejects.toThrow(/^enough$/);
  });

  it('says why a server cannot be reached', async () => {
    const unreached = httpSource('http://127.0.0.1:9/x', QUICK);
    await expect(unreached).rejects.toThrow(/127\.0\.0\.1:9\/x: ./);
    await expect(unreached).rejects.toMatchObject({ code: 'network', status: undefined, temporary: true });
  });
});

describe('a file source', () => {
  it('notices that the file has become shorter', async () => {
    const path = join(folder, 'shrinking.bin');
    await writeFile(path, BYTES);
    const source = await fileSource(path);
    await truncate(path, 100);
    await expect(source.read(50, 100)).rejects.toThrow(/ends at byte 100; it had 200001 bytes/);
    await source.close();
  });

  it('refuses what is missing or a folder', async () => {
    await expect(fileSource(join(folder, 'nothing'))).rejects.toThrow(/nothing does not exist/);
    await expect(fileSource(folder)).rejects.toThrow(WeightsError);
  });
});

describe('a model folder', () => {
  const named = (name: string, content: Uint8Array<ArrayBuffer>) => {
    const file = new File([content], name.split('/').at(-1)!);
    return Object.defineProperty(file, 'webkitRelativePath', { value: name.includes('/') ? name : '' });
  };
  it.each([
    ['on disk', () => nodeFolder(folder)],
    ['on a server', () => httpFolder(`${server.url}/good/`)],
    ['of dropped files', () => filesFolder([named('small.json', SMALL)])],
    ['of a chosen directory', () => filesFolder([named('blip/small.json', SMALL)])],
    ['of named blobs', () => filesFolder(new Map([['small.json', new Blob([SMALL])]]))],
  ])('%s opens its files and no others', async (_, make) => {
    const source = make();
    expect(await readJson(source, 'small.json')).toEqual({ small: true });
    expect(await source.open('other.json')).toBeUndefined();
    await expect(readText(source, 'other.json')).rejects.toThrow(/has no other\.json\. Is it a complete/);
    for (const path of [
      '../small.json',
      '/small.json',
      'a/../small.json',
      '',
      '.',
      'a//b',
      '..\\small.json',
      'a\0',
    ])
      await expect(source.open(path)).rejects.toThrow(ModelFileError);
  });

  it('on a server has folders, and names that an address must spell otherwise', async () => {
    const asked: (string | undefined)[] = [];
    const site = createServer((request, response) => {
      asked.push(request.url);
      response.writeHead(404).end();
    });
    await new Promise<void>((ready) => site.listen(0, '127.0.0.1', ready));
    const source = httpFolder(`http://127.0.0.1:${(site.address() as AddressInfo).port}/base`);
    expect(await source.open('text encoder/1+1?.json')).toBeUndefined();
    expect(asked).toEqual(['/base/text%20encoder/1%2B1%3F.json']);
    site.close();
  });

  it('on disk may hold links, as the cache of the hub does', async () => {
    await symlink(join(folder, 'small.json'), join(folder, 'link.json'));
    expect(await readJson(nodeFolder(folder), 'link.json')).toEqual({ small: true });
  });

  it('that is itself missing is named', async () => {
    await expect(nodeFolder(join(folder, 'no-model')).open('x')).rejects.toThrow(/no-model does not exist/);
  });

  it.each([
    ['is not UTF-8', Uint8Array.of(0x61, 0xc3, 0xa4, 0xff, 0x61), /not UTF-8 text: wrong at byte 3/],
    ['is UTF-16', Uint8Array.of(0xff, 0xfe, 0x61, 0), /not UTF-8 text: wrong at byte 0/],
    ['ends inside a character', Uint8Array.of(0x61, 0xc3), /not UTF-8 text: wrong at byte 2/],
    [
      'is not JSON',
      '{\n"a": tru}',
      /x\.json is not valid JSON: expected a value, found "t" at position 7 \(line 2, column 6\)/,
    ],
  ])('with a file that %s says where', async (_, content, message) => {
    const source = new MemoryFolder({ 'x.json': content });
    const refusal = readJson(source, 'x.json');
    await expect(refusal).rejects.toThrow(ModelFileError);
    await expect(refusal).rejects.toThrow(message);
    expect(source.closed).toBe(1);
  });
});
