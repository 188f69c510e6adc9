// A hub that is hostile or broken. Whatever it answers, nothing appears outside the cache, the token is seen nowhere else,
// and the pull ends.

import { lstat, mkdir, readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { NoticeError } from '../../src/errors.ts';
import { type PulledModel, type PullOptions, pullModel } from '../../src/platform/node/hub/index.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { type Answers, type Behaviour, COMMIT, type Entry, type Exchange, type Files, hub } from './hub.ts';
import { type LocalServer, sendFile, serve } from './server.ts';

const TOKEN = 'hf_0123456789abcdef';
const CONFIG = Buffer.from('{"model_type":"blip"}');
const WEIGHTS = Buffer.alloc(200_000, 'weights ');
const MODEL: Files = { 'config.json': CONFIG, 'model.safetensors': WEIGHTS };
const INDEX = 'model.safetensors.index.json';
/** Ends what does not end by itself, long before a person would. */
const QUICK = { attempts: 2, pauseMs: 1, longestPauseMs: 20, silenceMs: 250 };

interface Hostile extends Behaviour {
  readonly files?: Files;
  readonly model?: string;
  readonly options?: PullOptions;
  /** Of the error; none if the pull must succeed all the same. */
  readonly error?: RegExp;
  /** Requests that may be made, if more than a good hub gets. */
  readonly requests?: number;
  /** Called before each pull with the address of another host and of the hub. */
  readonly prepare?: (other: LocalServer) => void;
}

let root: string;
beforeEach(async () => {
  for (const name of Object.keys(process.env))
    if (/^(HF_|HUGGING|TRANSFORMERS_OFFLINE|XDG_CACHE)|_proxy$/i.test(name)) vi.stubEnv(name, undefined);
  root = await freshFolder();
  vi.stubEnv('HF_HOME', join(root, 'home'));
  await mkdir(join(root, 'cache'));
  await writeFile(join(root, 'config.json'), CONFIG); // as long as the one that is pulled
  await writeFile(join(root, 'victim.incomplete'), 'mine');
  return () => vi.unstubAllEnvs();
});

/** Pulls from a hub and checks what must hold for each. */
async function meet(
  hostile: Hostile,
): Promise<{ pulled?: PulledModel; hub: LocalServer; other: LocalServer }> {
  const { files = MODEL, model = 'org/tiny', options, error: expected, requests = 8, prepare } = hostile;
  const other = await serve((request, response) => otherHost(request.url as string, response, files));
  prepare?.(other);
  const before = await everything(root);
  const server = await hub(files, hostile);
  const cacheDir = join(root, 'cache');
  let pulled: PulledModel | undefined;
  let error: unknown;
  try {
    pulled = await pullModel(model, { endpoint: server.url, token: TOKEN, cacheDir, ...QUICK, ...options });
  } catch (caught) {
    error = caught;
  }
  if (expected) {
    expect(error).toBeInstanceOf(NoticeError);
    expect((error as Error).message).toMatch(expected);
    expect((error as Error).message).not.toMatch(/[\p{Cc}]/u);
    expect((error as Error).message.length).toBeLessThan(1500);
    expect(inspect(error, { depth: 9 })).not.toContain(TOKEN);
  } else if (error) throw error;

  const within = (path: string) => path.startsWith('cache');
  const after = await everything(root);
  expect(after.filter(([path]) => !within(path))).toEqual(before.filter(([path]) => !within(path)));
  for (const [path] of after) {
    const real = relative(await realpath(cacheDir), await realpath(join(root, path)));
    if (within(path)) expect(real, path).not.toMatch(/^\.\./);
  }
  expect(JSON.stringify(other.requests)).not.toContain(TOKEN);
  expect(server.requests.length).toBeLessThanOrEqual(requests);
  if (pulled)
    for (const [path, content] of Object.entries(files))
      expect(content.equals(await readFile(join(pulled.folder, path)))).toBe(true);
  else await expect(readFile(join(cacheDir, 'models--org--tiny/refs/main'))).rejects.toThrow(/ENOENT/);
  return { ...(pulled && { pulled }), hub: server, other };
}

/** Path and content of all files beneath a folder. */
async function everything(folder: string): Promise<[path: string, content: string][]> {
  const paths = await readdir(folder, { recursive: true });
  const files: [string, string][] = [];
  for (const path of paths.sort())
    if (!(await lstat(join(folder, path))).isDirectory())
      files.push([
        path,
        (await readFile(join(folder, path), 'latin1').catch(() => 'no file')).slice(0, 1000),
      ]);
  return files;
}

/** Another origin: it has the files of the hub, an empty last page, and what it is asked is kept. */
function otherHost(url: string, response: Exchange['response'], files: Files): void {
  const name = url.split('/').at(-1) as string;
  const back = /to=(.*)/.exec(url)?.[1];
  if (back) return void response.writeHead(302, { Location: back }).end();
  if (files[name]) response.end(files[name]);
  else if (url.includes('/revision/'))
    response.end(JSON.stringify({ id: 'org/tiny', sha: COMMIT, lastModified: '2024-01-01T00:00:00.000Z' }));
  else response.end('[]');
}

const entries = (answers: Answers) => answers.list as (Entry & Record<string, unknown>)[];
/** Changes what the list says of a file. */
const listed = (path: string, change: (entry: Entry) => unknown): Hostile['answers'] => {
  return (answers) => ({
    list: entries(answers).map((entry) => (entry.path === path ? (change(entry) ?? entry) : entry)),
  });
};
const commit = (sha: unknown): Hostile['answers'] => {
  return ({ model }) => ({ model: { ...(model as object), sha } });
};
const isFile = ({ url }: Exchange) => url.pathname.includes('/resolve/');
const isWeights = ({ url }: Exchange) => url.pathname.endsWith('model.safetensors');
const isList = ({ url }: Exchange) => url.pathname.includes('/tree/');
const isModel = ({ url }: Exchange) => url.pathname.includes('/revision/');
/** An answer in place of the hub's own. */
const instead = (
  when: (exchange: Exchange) => boolean,
  answer: (exchange: Exchange) => unknown,
): Pick<Hostile, 'first'> => ({
  first: (exchange) => {
    if (!when(exchange)) return false;
    answer(exchange);
    return true;
  },
});

/** Sends for as long as anybody listens. */
function pump({ response }: Exchange, status = 200): void {
  const block = Buffer.alloc(1 << 16, 'x');
  response.writeHead(status);
  const more = () => {
    while (!response.destroyed && response.write(block));
    if (!response.destroyed) response.once('drain', more);
  };
  more();
}

/** A byte now and then. */
function trickle({ response }: Exchange, status = 200): void {
  response.writeHead(status);
  const timer = setInterval(() => response.write('x'), 20);
  response.on('close', () => clearInterval(timer));
}

describe('names, hashes and sizes', () => {
  const shards = (index: unknown): Hostile => ({
    files: { 'config.json': CONFIG, [INDEX]: Buffer.from(JSON.stringify(index)) },
  });
  const cases: Readonly<Record<string, Hostile>> = {
    'a commit that is a path': { answers: commit('../../..'), error: /commit is "\.\.\/\.\.\/\.\."/ },
    'a commit that is cut short': { answers: commit('a'.repeat(39)), error: /expected 40 hexadecimal/ },
    'a commit in capitals': { answers: commit('A'.repeat(40)), error: /expected 40 hexadecimal/ },
    'a commit that is no text': { answers: commit([COMMIT]), error: /expected 40 hexadecimal/ },
    'no commit': { answers: commit(undefined), error: /commit is none/ },
    'another commit than the asked one': {
      model: `org/tiny@${'b'.repeat(40)}`,
      error: /answers with the commit a{40}; asked was b{40}/,
    },
    'a hash in LFS that is the path of a local file': {
      answers: listed('model.safetensors', (entry) => ({
        ...entry,
        lfs: { oid: '../../../config.json', size: CONFIG.length, pointerSize: 1 },
      })),
      error: /model\.safetensors the hash "\.\.\/\.\.\/\.\.\/config\.json": it cannot be checked/,
    },
    "a hash of git's that is the path of a local file": {
      answers: listed('config.json', (entry) => ({ ...entry, oid: '../../../config.json' })),
      error: /config\.json the hash "\.\.\/\.\.\/\.\.\/config\.json"/,
    },
    'a hash whose unfinished file would be a local one': {
      answers: listed('config.json', (entry) => ({ ...entry, oid: '../../../victim', size: 4 })),
      error: /the hash "\.\.\/\.\.\/\.\.\/victim"/,
    },
    'no hash': {
      answers: listed('config.json', (entry) => ({ ...entry, oid: undefined })),
      error: /hash none/,
    },
    'a hash of 41 digits': {
      answers: listed('config.json', (entry) => ({ ...entry, oid: '0'.repeat(41) })),
      error: /the hash "0{41}"/,
    },
    'a hash in LFS of 40 digits': {
      answers: listed('model.safetensors', (entry) => ({ ...entry, lfs: { oid: '0'.repeat(40), size: 1 } })),
      error: /the hash "0{40}"/,
    },
    'a path out of the repository': {
      answers: listed('config.json', (entry) => ({ ...entry, path: '../../../config.json' })),
      error: /lists the path "\.\.\/\.\.\/\.\.\/config\.json"/,
    },
    'an absolute path': {
      answers: listed('config.json', (entry) => ({ ...entry, path: '/etc/config.json' })),
      error: /lists the path "\/etc\/config\.json"/,
    },
    'a path with backslashes': {
      answers: listed('config.json', (entry) => ({ ...entry, path: '..\\..\\config.json' })),
      error: /lists the path/,
    },
    'a path that steers the terminal': {
      answers: listed('config.json', (entry) => ({ ...entry, path: '\u001b[2J\nconfig.json' })),
      error: /lists the path/,
    },
    'one path twice': {
      answers: (answers) => ({ list: [...entries(answers), ...entries(answers)] }),
      error: /lists "config\.json" twice/,
    },
    'a size below zero': {
      answers: listed('config.json', (entry) => ({ ...entry, size: -1 })),
      error: /config\.json the size -1/,
    },
    'half a byte': {
      answers: listed('config.json', (entry) => ({ ...entry, size: 0.5 })),
      error: /the size 0\.5/,
    },
    'a size that is a text': {
      answers: listed('config.json', (entry) => ({ ...entry, size: '21' })),
      error: /the size "21"/,
    },
    'a size beyond all disks': {
      answers: listed('model.safetensors', (entry) => ({
        ...entry,
        lfs: { oid: '0'.repeat(64), size: 2 ** 53 - 1 },
      })),
      error: /model\.safetensors have 9007199254740991 bytes, at most 1099511627776/,
    },
    'a size beyond this disk': {
      answers: listed('model.safetensors', (entry) => ({
        ...entry,
        lfs: { oid: '0'.repeat(64), size: 2 ** 52 },
      })),
      options: { maxModelBytes: 2 ** 53 },
      error: /needs 4503599627370496 bytes more/,
    },
    'a smaller size than the file has': {
      answers: listed('config.json', (entry) => ({ ...entry, size: CONFIG.length - 1 })),
      error: /has 21 bytes, expected 20/,
    },
    'a larger size than the file has': {
      answers: listed('config.json', (entry) => ({ ...entry, size: CONFIG.length + 1 })),
      error: /has 21 bytes, expected 22/,
    },
    'settings as large as weights': {
      answers: listed('config.json', (entry) => ({ ...entry, size: 2 ** 30 })),
      error: /config\.json have 1073741824 bytes, at most 268435456/,
    },
    'entries that are nothing': {
      answers: (answers) => ({ list: [null, 7, 'x', [], {}, ...entries(answers)] }),
    },
    'an index that names a file outside': {
      ...shards({ weight_map: { a: '../../../config.json' } }),
      error: /"\.\.\/\.\.\/\.\.\/config\.json" is not a path inside the model folder/,
    },
    'an index that names a file that is not there': {
      ...shards({ weight_map: { a: 'model-00001-of-00001.safetensors' } }),
      error: /has no file model-00001-of-00001\.safetensors, which its index names/,
    },
    'an index without names': { ...shards({ weight_map: [] }), error: /no weight_map/ },
  };
  test.each(Object.entries(cases))('%s', async (_, hostile) => void (await meet(hostile)));
});

describe('redirects and the token', () => {
  let other: LocalServer;
  const prepare = (server: LocalServer) => {
    other = server;
  };
  const to = (exchange: Exchange, location: string, status = 302) =>
    exchange.response.writeHead(status, { Location: location }).end();

  test('the next page on another host', async () => {
    const asked = await meet({
      prepare,
      first: (exchange) => {
        if (isList(exchange)) exchange.response.setHeader('Link', `<${other.url}/api/next>; rel="next"`);
        return false;
      },
    });
    expect(asked.other.requests.map(({ line }) => line)).toEqual(['GET /api/next']);
    expect(asked.hub.requests.every(({ headers }) => headers.authorization === `Bearer ${TOKEN}`)).toBe(true);
  });

  test.each([301, 302, 303, 307, 308])('a file on another host, by %i', async (status) => {
    const asked = await meet({
      prepare,
      ...instead(isFile, (exchange) => to(exchange, `${other.url}${exchange.url.pathname}`, status)),
    });
    expect(asked.other.requests).toHaveLength(2);
  });

  test('an API on another host', async () => {
    const move = (exchange: Exchange) => to(exchange, `${other.url}${exchange.url.pathname}`);
    const asked = await meet({ prepare, ...instead(isModel, move) });
    expect(asked.other.requests).toHaveLength(1);
  });

  test('to another host and back: the token stays away for good', async () => {
    const asked = await meet({
      prepare,
      first: (exchange) => {
        const { url, request, response } = exchange;
        const content = MODEL[url.pathname.slice('/back/'.length)];
        if (content) sendFile(request, response, content);
        else if (isFile(exchange))
          to(exchange, `${other.url}/?to=${url.origin}/back/${url.pathname.split('/').at(-1)}`);
        return content !== undefined || isFile(exchange);
      },
    });
    const back = asked.hub.requests.filter(({ line }) => line.startsWith('GET /back/'));
    expect(back.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
  });

  const cases: Readonly<Record<string, Hostile>> = {
    'a circle': {
      ...instead(isFile, (exchange) => to(exchange, exchange.url.pathname)),
      options: { maxRedirects: 4 },
      error: /redirects more than 4 times/,
    },
    'a local file': {
      ...instead(isFile, (exchange) => to(exchange, 'file:///etc/passwd')),
      error: /redirects to file:\/\/\/etc\/passwd, not an http or https address/,
    },
    data: {
      ...instead(isFile, (exchange) => to(exchange, 'data:text/plain,x')),
      error: /not an http or https address/,
    },
    'an address that is none': {
      ...instead(isFile, (exchange) => to(exchange, 'http://[')),
      error: /not an http or https address/,
    },
    'an address that has the token in it': {
      ...instead(isFile, (exchange) => to(exchange, `ftp://${TOKEN}/`)),
      error: /redirects to ftp:\/\/\[secret\]\//,
    },
    'an address with a password': {
      ...instead(isFile, (exchange) => to(exchange, `http://user:word@${exchange.url.host}/`)),
      error: /with a user name or password/,
    },
    nowhere: {
      ...instead(isFile, ({ response }) => response.writeHead(302).end()),
      error: /HTTP 302/,
    },
    'a refusal that quotes the request': {
      ...instead(isFile, ({ request, response }) => {
        response.writeHead(403, { 'Content-Type': 'text/plain' });
        response.end(`${' '.repeat(100)}Refused: ${JSON.stringify(request.headers)}`);
      }),
      error: /gives no access to org\/tiny: .*HTTP 403, Refused: .*\[secret\].*set HF_TOKEN/,
    },
    'a refusal that quotes the request where the message is cut': {
      ...instead(isModel, ({ request, response }) =>
        response.writeHead(403).end(`${'x'.repeat(3_985)}${request.headers.authorization}`),
      ),
      error: /HTTP 403, x+/,
    },
    'a refusal in JSON that quotes the request': {
      ...instead(isModel, ({ request, json }) => json({ error: `${request.headers.authorization}?` }, 401)),
      error: /HTTP 401, Bearer \[secret\]\?\. Check the id/,
    },
    'a refusal that steers the terminal': {
      ...instead(isModel, ({ response }) => response.writeHead(400).end('\u001b]0;x\u0007\r\nnotice: ok')),
      error: /HTTP 400, \]0;x notice: ok/,
    },
    'the token as a name': {
      answers: listed('model.safetensors', (entry) => ({ ...entry, path: TOKEN })),
      error: /Its files: config\.json, \[secret\]\./,
    },
    'the token as a commit': { answers: commit(TOKEN), error: /commit is "\[secret\]"/ },
  };
  test.each(Object.entries(cases))('%s', async (_, hostile) => void (await meet(hostile)));
});

describe('what does not end', () => {
  const many = { maxAnswerBytes: 100_000 };
  const bomb = gzipSync(Buffer.alloc(50_000_000, ' '));
  const partly = (answer: (exchange: Exchange, from: number) => unknown): Hostile => ({
    ...instead(isWeights, (exchange) => {
      const from = Number(/^bytes=(\d+)-/.exec(exchange.request.headers.range ?? '')?.[1] ?? 0);
      if (from > 0) answer(exchange, from);
      else sendFile(exchange.request, exchange.response, WEIGHTS, { cutAfter: 70_000 });
    }),
    requests: 16,
  });
  const cases: Readonly<Record<string, Hostile>> = {
    'pages without an end': {
      first: (exchange) => {
        const cursor = Number(exchange.url.searchParams.get('cursor') ?? 0);
        const next = `<${exchange.url.origin}${exchange.url.pathname}?cursor=${cursor + 1}>; rel="next"`;
        if (!isList(exchange)) return false;
        exchange.response.setHeader('Link', next);
        exchange.json([]);
        return true;
      },
      options: { maxPages: 20 },
      requests: 25,
      error: /does not end after 21 pages/,
    },
    'a page that is its own next': {
      first: (exchange) => {
        const { href } = exchange.url;
        if (isList(exchange)) exchange.response.setHeader('Link', `<${href}>; rel="next"`);
        return false;
      },
      error: /does not end/,
    },
    'an endless error': {
      ...instead(isModel, (exchange) => pump(exchange, 404)),
      error: /has no model or revision org\/tiny: .*HTTP 404, x+/,
    },
    'an endless error for a file': {
      ...instead(isFile, (exchange) => pump(exchange, 410)),
      error: /HTTP 410, x+/,
    },
    'an endless answer': {
      ...instead(isModel, (exchange) => pump(exchange)),
      options: many,
      error: /longer than 100000/,
    },
    'an endless list': {
      ...instead(isList, (exchange) => pump(exchange)),
      options: many,
      error: /longer than 100000/,
    },
    'an endless list in a small parcel': {
      ...instead(isList, ({ response }) => response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(bomb)),
      options: many,
      error: /longer than 100000/,
    },
    'an endless file': {
      ...instead(isWeights, (exchange) => pump(exchange)),
      error: /sends more than the 200000 bytes/,
    },
    'a list that is a page': {
      ...instead(isList, ({ response }) => response.end('<html>Log in</html>')),
      error: /expected a list in JSON, found "<html>Log in<\/html>"/,
    },
    'a list that is an object': { answers: () => ({ list: {} }), error: /expected a list in JSON/ },
    'a model that is a list': { answers: () => ({ model: [] }), error: /expected an object in JSON/ },
    'a list that is deeper than any stack': {
      ...instead(isList, ({ response }) => response.end('['.repeat(1_000_000))),
      error: /expected a list in JSON/,
    },
    silence: { ...instead(isModel, () => {}), error: /silent for 0\.25 s/ },
    'silence after the headers': {
      ...instead(isList, ({ response }) => response.writeHead(200).flushHeaders()),
      error: /silent for 0\.25 s/,
    },
    'silence in an error': {
      ...instead(isModel, ({ response }) => response.writeHead(404).flushHeaders()),
      error: /HTTP 404/,
    },
    'silence in a file': {
      ...instead(isWeights, ({ response }) => response.writeHead(200).write(WEIGHTS.subarray(0, 1000))),
      error: /the server sent 1000 bytes in 0\.25 s/,
    },
    'a trickle': {
      ...instead(isWeights, (exchange) => trickle(exchange)),
      error: /the server sent \d+ bytes in 0\.25 s/,
    },
    'a trickle of an error': {
      ...instead(isModel, (exchange) => trickle(exchange, 404)),
      error: /HTTP 404, x+/,
    },
    'a part with more than it announces': {
      ...partly(({ response }, from) => {
        response.writeHead(206, { 'Content-Range': `bytes ${from}-199999/200000` });
        response.end(Buffer.alloc(200_001 - from));
      }),
      error: /sends more than the 200000 bytes/,
    },
    'parts with less than they announce, each a byte': {
      ...partly(({ response }, from) => {
        response.writeHead(206, { 'Content-Range': `bytes ${from}-199999/200000`, ETag: '"x"' });
        response.end('x');
      }),
      error: /ended after 7000\d of 200000 bytes/,
    },
    'parts with less than they announce, as long as there is some': {
      ...partly(({ response }, from) => {
        response.writeHead(206, { 'Content-Range': `bytes ${from}-199999/200000`, ETag: '"x"' });
        response.end(WEIGHTS.subarray(from, from + 2000));
      }),
      options: { maxRequests: 10 },
      error: /ended after \d+ of 200000 bytes/,
    },
    'a part of a file of another length': {
      ...partly(({ response }, from) => {
        response.writeHead(206, { 'Content-Range': `bytes ${from}-299999/300000` });
        response.end(Buffer.alloc(300_000 - from));
      }),
      error: /has 300000 bytes, expected 200000/,
    },
    'a part that was not asked for': {
      ...partly(({ response }) => {
        response.writeHead(206, { 'Content-Range': `bytes 0-199999/200000` }).end(WEIGHTS);
      }),
      error: /another part of the file came than asked for/,
    },
    'a part without its place': {
      ...partly(({ response }) => response.writeHead(206).end('x')),
      error: /another part of the file came than asked for/,
    },
    'a part of another length than its place': {
      ...partly(({ response }, from) => {
        response.writeHead(206, { 'Content-Range': `bytes ${from}-199999/200000`, 'Content-Length': 7 });
        response.end('1234567');
      }),
      error: /another part of the file came than asked for/,
    },
    'a rest that is refused for ever': {
      ...partly(({ response }) => response.writeHead(416).end()),
      error: /the rest is refused/,
    },
    'a connection that breaks at one place': {
      ...instead(isWeights, ({ request, response }) => {
        const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
        sendFile(request, response, WEIGHTS, { cutAfter: Math.max(0, 70_000 - from) });
      }),
      error: /terminated|closed|aborted|reset/,
    },
    'trouble without an end': {
      ...instead(isWeights, ({ response }) => response.writeHead(503, { 'Retry-After': '999999999' }).end()),
      error: /HTTP 503/,
    },
    'a pause until the year 9999': {
      ...instead(isModel, ({ response }) =>
        response.writeHead(429, { 'Retry-After': 'Fri, 31 Dec 9999 23:59:59 GMT' }).end(),
      ),
      error: /HTTP 429/,
    },
    'what is no HTTP': {
      ...instead(isModel, ({ request }) => request.socket.end('220 mail.example.org ESMTP\r\n')),
      error: /http:\/\/127/,
    },
    'headers without an end': {
      ...instead(isModel, ({ request: { socket } }) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        const timer = setInterval(() => socket.write(`X: ${'x'.repeat(1000)}\r\n`), 1);
        socket.on('close', () => clearInterval(timer)).on('error', () => {});
      }),
      error: /http:\/\/127/,
    },
    'a file that is packed although it was asked for as it is': {
      ...instead(isWeights, ({ response }) => {
        const packed = gzipSync(WEIGHTS);
        response.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': packed.length, ETag: '"x"' });
        response.end(packed);
      }),
    },
    'an ETag that no request can hold': {
      first: (exchange) => {
        if (isWeights(exchange)) exchange.response.setHeader('ETag', `"${'\u00e4'.repeat(900)}"`);
        return false;
      },
    },
  };
  test.each(Object.entries(cases))('%s', async (_, hostile) => void (await meet(hostile)));

  test('a server that is not there', async () => {
    const options = { endpoint: 'http://127.0.0.1:1', cacheDir: join(root, 'cache'), ...QUICK };
    await expect(pullModel('org/tiny', options)).rejects.toThrow(/127\.0\.0\.1:1/);
  });

  test('a caller who wants no more', async () => {
    const controller = new AbortController();
    const options = { signal: controller.signal, silenceMs: 60_000, longestPauseMs: 60_000, pauseMs: 60_000 };
    const aborts = ({ response }: Exchange) => {
      response.writeHead(200).write('x');
      setTimeout(() => controller.abort(new NoticeError('usage', 'stopped')), 20);
    };
    await meet({ ...instead(isWeights, aborts), options, error: /^stopped$/ });
    await meet({ options, error: /^stopped$/ });
  });
});
