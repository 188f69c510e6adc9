import { appendFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { mapConcurrent } from '../../../src/notice/datasets/concurrent.ts';
import { downloadImages, type ImageDownload } from '../../../src/notice/datasets/index.ts';
import { endpointGrammar } from '../../../src/notice/datasets/svo-probes.ts';
import { sendFile, serve } from '../../hub/server.ts';
import { freshFolder, writeText } from './support.ts';

let jpeg: Buffer;
let png: Buffer;
let avif: Buffer;
beforeAll(async () => {
  const noise = sharp({
    create: {
      width: 200,
      height: 150,
      channels: 3,
      background: '#888',
      noise: { type: 'gaussian', mean: 128, sigma: 50 },
    },
  });
  jpeg = await noise.clone().jpeg().toBuffer();
  png = await noise.clone().png().toBuffer();
  avif = await noise.clone().resize(16, 12).avif({ effort: 0 }).toBuffer();
});

describe('downloading images', () => {
  const quick = { hostPauseMs: 0, pauseMs: 1, attempts: 2 };
  const named = (url: string, ...names: string[]): ImageDownload[] =>
    names.map((name) => ({ name, url: `${url}/${name}` }));

  async function imageServer() {
    return await serve((request, response) => {
      switch (request.url) {
        case '/photo':
          return sendFile(request, response, jpeg);
        case '/picture':
          return sendFile(request, response, png);
        case '/page':
          return response.writeHead(200, { 'Content-Type': 'image/jpeg' }).end('<html>Not found</html>');
        case '/svg':
          return response.end('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
        case '/half':
          return sendFile(request, response, jpeg.subarray(0, jpeg.length >> 1));
        case '/empty':
          return response.end();
        case '/avif':
          return sendFile(request, response, avif);
        case '/busy':
          return response.writeHead(503).end();
        default:
          return response.writeHead(404).end('gone');
      }
    });
  }

  test('only what decodes is stored, named by what it is; every failure is in the log with its reason', async () => {
    const { url } = await imageServer();
    const folder = join(await freshFolder(), 'images');
    const downloads = named(url, 'photo', 'picture', 'page', 'svg', 'half', 'empty', 'busy', 'gone');
    const odd = { name: 'odd', url: 'data:image/png;base64,xx' };
    const summary = await downloadImages([...downloads, odd], { folder, ...quick });
    expect((await readdir(folder)).sort()).toEqual(['photo.jpg', 'picture.png']);
    expect(await readFile(join(folder, 'photo.jpg'))).toEqual(jpeg);
    expect(summary).toMatchObject({ stored: 2, present: 0 });
    const failed = Object.fromEntries(
      summary.failed.map(({ name, error, temporary }) => [name, [error, temporary]]),
    );
    expect(failed).toMatchObject({
      page: [expect.stringMatching(/\/page: cannot be decoded as an image/), false],
      svg: [expect.stringMatching(/SVG images are not supported/), false],
      half: [expect.stringMatching(/cannot be decoded as an image/), false],
      empty: [expect.stringMatching(/the file is empty/), false],
      busy: [expect.stringMatching(/HTTP 503/), true],
      gone: [expect.stringMatching(/HTTP 404, gone/), false],
      odd: [expect.stringMatching(/not an http or https address/), false],
    });
    const log = (await readFile(`${folder}.downloads.jsonl`, 'utf8')).trim().split('\n');
    expect(log).toHaveLength(9);
    expect(log.map((line) => JSON.parse(line)).find(({ name }) => name === 'photo')).toEqual({
      name: 'photo',
      url: `${url}/photo`,
      status: 'stored',
      file: 'photo.jpg',
      bytes: jpeg.length,
      format: 'jpeg',
      width: 200,
      height: 150,
    });
    expect(await readdir(`${folder}.partial`)).toEqual([]);
  });

  test('a second call asks only for what may come yet', async () => {
    const { url, requests } = await imageServer();
    const folder = join(await freshFolder(), 'images');
    const downloads = named(url, 'photo', 'gone', 'busy');
    await downloadImages(downloads, { folder, ...quick });
    const asked = requests.length;
    const again = await downloadImages(downloads, { folder, ...quick });
    expect(requests.slice(asked).map(({ line }) => line)).toEqual(['GET /busy', 'GET /busy']);
    expect(again).toMatchObject({ stored: 0, present: 1 });
    expect(again.failed.map(({ name }) => name).sort()).toEqual(['busy', 'gone']);
    await downloadImages(downloads, { folder, ...quick, retryFailed: true });
    expect(requests.slice(asked + 2).map(({ line }) => line)).toContain('GET /gone');
    expect(requests.every(({ line }, index) => index === 0 || line !== 'GET /photo')).toBe(true);
  });

  test('a log whose last line was cut off by a crash is read; a damaged line within it is an error', async () => {
    const { url } = await imageServer();
    const folder = join(await freshFolder(), 'images');
    const log = `${folder}.downloads.jsonl`;
    await writeText(
      log,
      '{"name":"gone","url":"x","status":"failed","error":"earlier","temporary":false}\n{"name":"ph',
    );
    const { failed, stored } = await downloadImages(named(url, 'photo', 'gone'), { folder, ...quick });
    expect([stored, failed[0]?.error]).toEqual([1, 'earlier']);
    await downloadImages(named(url, 'picture'), { folder, ...quick });
    await appendFile(log, '{"name"\n');
    await expect(downloadImages(named(url, 'photo'), { folder, ...quick })).rejects.toThrow(
      /line \d is damaged/,
    );
  });

  test('what a run cannot read is no image, whether it is downloaded or there before', async () => {
    const { url } = await imageServer();
    const folder = join(await freshFolder(), 'images');
    await downloadImages([], { folder });
    await writeFile(join(folder, 'photo.avif'), avif); // as kept by earlier versions
    await writeFile(join(folder, 'picture.png'), '');
    const { stored, present, failed } = await downloadImages(named(url, 'photo', 'picture', 'avif'), {
      folder,
      ...quick,
    });
    expect([stored, present, failed.map(({ name }) => name)]).toEqual([2, 0, ['avif']]);
    expect(failed[0]?.error).toMatch(/\/avif: AVIF images are not supported/);
    expect((await readdir(folder)).sort()).toEqual(['photo.avif', 'photo.jpg', 'picture.png']);
  });

  test('two at once into one folder: the second waits, and finds it done', async () => {
    const { url, requests } = await imageServer();
    const folder = join(await freshFolder(), 'images');
    const waits: string[] = [];
    const options = { folder, ...quick, onWait: (owner: string) => waits.push(owner) };
    const both = await Promise.all([1, 2].map(() => downloadImages(named(url, 'photo', 'picture'), options)));
    expect(both.map(({ stored }) => stored).sort()).toEqual([0, 2]);
    expect(requests).toHaveLength(2);
    expect(waits).toEqual([expect.stringMatching(new RegExp(`^process ${process.pid} on `))]);
    expect(await readdir(dirname(folder))).toEqual(['images', 'images.downloads.jsonl', 'images.partial']);
  });

  test('one request at a time to a host, with a pause between; hosts side by side', async () => {
    let open = 0;
    let most = 0;
    const starts: number[] = [];
    const slow = async () =>
      await serve((request, response) => {
        starts.push(performance.now());
        most = Math.max(most, ++open);
        setTimeout(() => {
          open--;
          sendFile(request, response, png);
        }, 30);
      });
    const [a, b] = [await slow(), await slow()];
    const folder = join(await freshFolder(), 'images');
    await downloadImages(named(a.url, 'a1', 'a2', 'a3'), { folder, ...quick, hostPauseMs: 50 });
    expect(most).toBe(1);
    const gaps = starts.slice(1).map((start, i) => start - (starts[i] as number));
    for (const gap of gaps) expect(gap).toBeGreaterThan(70); // 30 ms of the answer, 50 ms of pause, less timer slack
    await downloadImages([...named(a.url, 'a4'), ...named(b.url, 'b1')], { folder, ...quick });
    expect(most).toBe(2);
    expect(a.requests[0]?.headers['user-agent']).toMatch(/^notice-webgpu/);
  });

  test('an image too long, a name twice, and a name with a path', async () => {
    const { url } = await imageServer();
    const folder = join(await freshFolder(), 'images');
    const { failed } = await downloadImages(named(url, 'photo'), { folder, ...quick, maxBytes: 100 });
    expect(failed[0]).toMatchObject({
      temporary: false,
      error: expect.stringMatching(/longer than 100 bytes/),
    });
    await expect(downloadImages(named(url, 'x', 'x'), { folder })).rejects.toThrow(
      /Two downloads are named "x"/,
    );
    await expect(downloadImages(named(url, '../x'), { folder })).rejects.toThrow(/no plain file name/);
  });
});

describe('grammar by an endpoint', () => {
  const question = { triplet: ['girl', 'sit', 'grass'], role: 'verb', alternative: 'stand' } as const;
  const chat = async (answer: string | (() => string)) =>
    await serve((_, response) => {
      const content = typeof answer === 'string' ? answer : answer();
      response.end(JSON.stringify({ choices: [{ message: { role: 'assistant', content } }] }));
    });

  test('asks as the paper did, at temperature 0, and keeps the answer', async () => {
    const { url, requests } = await chat('"Is the girl sitting or standing on the grass"');
    const cache = join(await freshFolder(), 'answers');
    const options = { baseUrl: `${url}/v1/`, model: 'some-model', apiKey: 'key', cache };
    const expected = {
      prompt: 'Is the girl sitting or standing on the grass?',
      own: 'sitting',
      other: 'standing',
    };
    expect(await endpointGrammar(options)(question)).toEqual(expected);
    expect(requests[0]).toMatchObject({
      line: 'POST /v1/chat/completions',
      headers: { authorization: 'Bearer key', 'content-type': 'application/json' },
    });
    expect(JSON.parse(requests[0]?.body ?? '')).toMatchObject({
      model: 'some-model',
      temperature: 0,
      messages: [{ role: 'system' }, { role: 'user', content: 'is girl sit or stand grass?' }],
    });
    expect(await endpointGrammar(options)(question)).toEqual(expected);
    expect(requests).toHaveLength(1);
    await endpointGrammar({ ...options, model: 'other' })(question);
    expect(requests).toHaveLength(2);
    expect(await readFile(join(cache, (await readdir(cache))[0] as string), 'utf8')).not.toContain('key');
  });

  test.each([
    ['Does the girl sit or stand on the grass?', 'sit', 'stand'],
    ['Is the girl standing or sitting on the grass.', 'sitting', 'standing'],
  ])('finds the options in "%s"', async (answer, own, other) => {
    const { url } = await chat(answer);
    const grammar = endpointGrammar({ baseUrl: url, model: 'm', cache: await freshFolder() });
    expect(await grammar(question)).toMatchObject({ own, other, prompt: expect.stringMatching(/grass\?$/) });
  });

  test('a kept answer that a crash damaged is asked for again; a key with a line break is not quoted', async () => {
    const { url, requests } = await chat('Does the girl sit or stand on the grass?');
    const cache = await freshFolder();
    const grammar = endpointGrammar({ baseUrl: url, model: 'm', cache });
    const first = await grammar(question);
    const [file] = await readdir(cache);
    for (const damaged of ['', '{"answer":', '{"answer":7}', 'null']) {
      await writeFile(join(cache, file as string), damaged);
      expect(await grammar(question)).toEqual(first);
    }
    expect(requests).toHaveLength(5);
    const bad = endpointGrammar({ baseUrl: url, model: 'other', cache, apiKey: 'sk-1\n2' })(question);
    await expect(bad).rejects.toThrow(/characters that cannot be sent; is the key whole\?$/);
  });

  test.each([
    ['Is the girl sitting on the grass?', /lacks an option/],
    ['Here it is:\nIs the girl sitting or standing on the grass?', /several lines/],
  ])('"%s" is a problem of this question', async (answer, problem) => {
    const { url } = await chat(answer);
    const grammar = endpointGrammar({ baseUrl: url, model: 'm', cache: await freshFolder() });
    expect(await grammar(question)).toEqual({ problem: expect.stringMatching(problem) });
  });

  test('a refused key, a server in trouble and an answer of another form are errors, and not kept', async () => {
    const answers: [number, string][] = [
      [401, 'bad key'],
      [400, 'bad model'],
      [200, '{"choices":[]}'],
      [200, '<html>'],
    ];
    const { url } = await serve((_, response) => {
      const [status, body] = answers[0] as [number, string];
      response.writeHead(status).end(body);
    });
    const cache = await freshFolder();
    const ask = () =>
      endpointGrammar({ baseUrl: url, model: 'm', cache, pauseMs: 1 })(question).catch((e) => e);
    expect(await ask()).toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/refuses the API key/),
    });
    answers.shift();
    expect(await ask()).toMatchObject({
      name: 'NetworkError',
      status: 400,
      message: expect.stringMatching(/bad model/),
    });
    answers.shift();
    expect(await ask()).toMatchObject({ name: 'DataError', message: expect.stringMatching(/choices\[0\]/) });
    answers.shift();
    expect(await ask()).toMatchObject({ name: 'DataError' });
    expect(await readdir(cache)).toEqual([]);
  });
});

test('after an error no further task is begun', async () => {
  const begun: number[] = [];
  const run = mapConcurrent([0, 1, 2, 3, 4, 5], 2, async (item) => {
    begun.push(item);
    await new Promise((resolve) => setTimeout(resolve, item === 0 ? 5 : 20));
    if (item === 0) throw new Error('stop');
    return item;
  });
  await expect(run).rejects.toThrow('stop');
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(begun).toEqual([0, 1]);
  expect(await mapConcurrent([3, 1, 2], 2, async (item, index) => item * 10 + index)).toEqual([30, 11, 22]);
});
