// A model from a hub on loopback, in one call: the same model as from the disk, with few requests, kept for the next time.

import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import type { Gpu } from '../../src/gpu/index.ts';
import { OutOfMemoryError } from '../../src/gpu/index.ts';
import {
  type LoadProgress,
  loadFromHub,
  loadModel,
  planModel,
  weightDtypes,
  weightPlans,
} from '../../src/models/index.ts';
import { runWithHooks } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { httpFolder } from '../../src/weights/index.ts';
import { COMMIT, type Files, hub } from '../hub/hub.ts';
import { sendFile, serve } from '../hub/server.ts';
import { expectSameBits } from '../support/close.ts';
import { fixture, Golden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { MemoryStore } from '../weights/support.ts';

const SETTINGS = ['config.json', 'preprocessor_config.json', 'tokenizer.json', 'tokenizer_config.json'];

function filesOf(folder: string, names: readonly string[]): Files {
  return Object.fromEntries(names.map((name) => [name, readFileSync(fixture(`${folder}/${name}`))]));
}

const WHOLE = filesOf('blip-tiny', [...SETTINGS, 'model.safetensors']);
const SHARDED = {
  ...filesOf('blip-tiny', SETTINGS),
  ...filesOf('blip-tiny-sharded', [
    'config.json',
    'model.safetensors.index.json',
    ...[1, 2, 3].map((n) => `model-0000${n}-of-00003.safetensors`),
  ]),
};

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});

describe.each([
  ['one file', WHOLE],
  ['shards', SHARDED],
])('%s', (_, files) => {
  test('loads what lies on the disk, tells how far it is, and asks for no file twice, or at all the second time', async () => {
    const golden = await Golden.open('blip-tiny');
    const sample = golden.sample('case0', 'clean');
    const local = await loadModel(gpu, nodeFolder(fixture('blip-tiny')));
    const [expected] = await runWithHooks(local, [sample], {});
    const server = await hub(files);
    const cache = new MemoryStore();
    for (let time = 0; time < 2; time++) {
      const seen: LoadProgress[] = [];
      const before = server.requests.length;
      const loaded = await loadFromHub(gpu, 'org/tiny@v1', {
        endpoint: server.url,
        cache,
        onProgress: (progress) => seen.push(progress),
      });
      const [actual] = await runWithHooks(loaded.model, [sample], {});
      expectSameBits(actual!, expected!);
      expect(loaded.commit).toBe(COMMIT);
      expect(loaded.processor.encode('is it red?').ids.length).toBeGreaterThan(3);

      const { total } = seen[0]!;
      expect(seen[0]!.loaded).toBe(0);
      expect(seen.at(-1)).toMatchObject({ loaded: total, total });
      seen.slice(1).forEach(({ loaded: now, file }, i) => {
        expect(now).toBeGreaterThan(seen[i]!.loaded);
        expect(file).toMatch(/\.safetensors$/);
      });
      const weights = Object.entries(files).filter(([name]) => name.endsWith('.safetensors'));
      const stored = weights.map(([, { length }]) => length).reduce((a, b) => a + b);
      expect(total).toBeLessThanOrEqual(stored);
      expect(total).toBeGreaterThan(0.9 * stored);

      const asked = server.requests.slice(before).filter(({ line }) => line.includes('/resolve/'));
      const ranges = asked.map(({ line, headers }) => `${line} ${headers.range}`);
      expect(new Set(ranges).size).toBe(ranges.length);
      // The weights in two pieces each, everything else in one.
      expect(asked.length).toBe(time === 0 ? Object.keys(files).length + weights.length : 0);
      loaded.model.destroy();
    }
    local.destroy();
  });
});

test('an interrupted loading is gone on with', async () => {
  const server = await hub(WHOLE);
  const cache = new MemoryStore();
  const controller = new AbortController();
  const options = { endpoint: server.url, cache };
  const interrupted = loadFromHub(gpu, 'org/tiny', {
    ...options,
    signal: controller.signal,
    onProgress: ({ loaded }) => loaded > 100_000 && controller.abort(new Error('enough')),
  });
  await expect(interrupted).rejects.toThrow(/^enough$/);
  const before = server.requests.length;
  const { model } = await loadFromHub(gpu, 'org/tiny', options);
  const again = server.requests.slice(before).map(({ line }) => line);
  expect(again.filter((line) => line.endsWith('.safetensors'))).toEqual([]);
  model.destroy();
});

test('a folder on a server that answers with pages loads as the quick start has it', async () => {
  const server = await serve((request, response) => {
    const content = WHOLE[(request.url as string).slice(1)];
    if (content) sendFile(request, response, content);
    else response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html>');
  });
  const cache = new MemoryStore();
  const model = await loadModel(gpu, httpFolder(server.url), { cache });
  expect((await cache.list()).map(({ path, size, kept }) => [path, kept === size]).sort()).toEqual([
    ['config.json', true],
    ['model.safetensors', true],
  ]);
  model.destroy();
  await expect(loadModel(gpu, httpFolder(`${server.url}/nothing`))).rejects.toThrow(
    /\/nothing has no config\.json \(the server answers with a page of HTML in its place\)/,
  );
});

test('what the weights would take as every type, with one reading of the headers', async () => {
  const server = await hub(WHOLE);
  const folder = httpFolder(`${server.url}/org/tiny/resolve/${COMMIT}`);
  const plans = await weightPlans(gpu, folder);
  expect(plans.map(({ dtype }) => dtype)).toEqual([undefined, ...(await weightDtypes(folder))]);
  for (const { dtype, plan } of plans)
    expect(plan).toEqual(await planModel(gpu, folder, dtype ? { dtype } : {}));
  const bytes = Object.fromEntries(plans.map(({ dtype, plan }) => [dtype ?? 'file', plan.bytes]));
  expect(bytes.f32).toBe(bytes.file);
  expect(bytes.f16).toBe(bytes.bf16);
  expect(bytes.nf4).toBeLessThan(bytes.int8!);
  const { maxStorageBufferBindingSize, maxBufferSize } = gpu.capabilities.limits;
  expect(plans[0]!.plan.limit).toBe(Math.min(maxStorageBufferBindingSize, maxBufferSize));
  expect(server.requests.map(({ line }) => line.split('/').at(-1))).toEqual([
    'config.json',
    'model.safetensors',
  ]);
});

test('a device that refuses a buffer is out of memory, with what other types would take', async () => {
  const refusal = new OutOfMemoryError(4, 'no room');
  const createBuffer = vi.spyOn(gpu, 'createBuffer').mockRejectedValue(refusal);
  const refused = loadModel(gpu, nodeFolder(fixture('blip-tiny')));
  await expect(refused).rejects.toMatchObject({ code: 'out-of-memory', cause: refusal });
  await expect(refused).rejects.toThrow(
    /the device has no room for them \(no room\)\. They would take .* as nf4/,
  );
  createBuffer.mockRestore();
});
