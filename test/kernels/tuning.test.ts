import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NoticeError } from '../../src/errors.ts';
import { identify } from '../../src/gpu/index.ts';
import { chooseMatmul, parseTuning } from '../../src/kernels/index.ts';
import { openGpu } from '../../src/platform/node/adapter.ts';
import { readTuning, tuningFile, writeTuning } from '../../src/platform/node/tuning.ts';

const VARIANT = { kernel: 'matmul_subgroup', rows: 8, columns: 3, threads: 4 };
const TILE = { kernel: 'matmul_tile', rows: 4, columns: 4, down: 16, across: 16, threads: 256, quads: 4 };

describe('parseTuning', () => {
  it('takes variants of every kernel', () => {
    const table = { 'software-4 matmul tall f32': VARIANT, 'w matmul tall f32': TILE };
    expect(parseTuning(table, 'file')).toEqual(table);
    expect(parseTuning({}, 'file')).toEqual({});
  });

  it.each([
    [[], 'not a tuning table'],
    [null, 'not a tuning table'],
    [{ key: null }, '"key" is null'],
    [{ key: { ...VARIANT, kernel: 'matmul_other' } }, '"key" is {"kernel":"matmul_other"'],
    [{ key: { ...VARIANT, rows: 0 } }, '"rows":0'],
    [{ key: { ...VARIANT, rows: 1.5 } }, '"rows":1.5'],
    [{ key: { ...TILE, quads: undefined } }, '"key" is'],
  ])('refuses %j and says what to do', (json, message) => {
    const call = () => parseTuning(json, 'file.json');
    expect(call).toThrow(NoticeError);
    expect(call).toThrow(message);
    expect(call).toThrow(/file\.json: .* Delete the file, or measure again with `notice bench --tune`\./);
  });
});

describe('the tuning file of an adapter', () => {
  const adapter = { vendor: 'google', architecture: 'swiftshader', description: 'SwiftShader driver 5.0.0' };
  const before = process.env.XDG_CACHE_HOME;
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tuning-'));
    process.env.XDG_CACHE_HOME = folder;
  });
  afterEach(() => {
    if (before === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before;
    rmSync(folder, { recursive: true });
  });

  it('is in the cache, one for every adapter and driver', async () => {
    expect(readTuning(adapter)).toEqual({});
    await writeTuning(adapter, { 'software-4 matmul tall f32': VARIANT });
    expect(readTuning(adapter)).toEqual({ 'software-4 matmul tall f32': VARIANT });
    expect(readTuning({ ...adapter, description: 'SwiftShader driver 5.0.1' })).toEqual({});
  });

  it('is named when it is damaged', async () => {
    writeFileSync(await writeTuning(adapter, {}), '{"a": ');
    expect(() => readTuning(adapter)).toThrow(`${tuningFile(adapter)} is no JSON. Delete it.`);
  });

  it('decides what openGpu’s device computes with', async () => {
    const own = await openGpu({ tuning: {} });
    const { description, vendor, architecture } = own.capabilities;
    own.destroy();
    const key = 'software-4 matmul tall f32';
    await writeTuning({ description, vendor, architecture }, { [key]: VARIANT });
    const w = await openGpu();
    expect(w.capabilities.tuning).toEqual({ [key]: VARIANT });
    if (w.capabilities.subgroupSize === 4)
      expect(chooseMatmul(w.capabilities, 577, 768, 'f32')).toEqual(VARIANT);
    w.destroy();
  });
});

it('an adapter without a description goes by its device', () => {
  const info = { vendor: 'v', architecture: 'a', description: '', device: 'd' } as GPUAdapterInfo;
  expect(identify(info)).toEqual({ vendor: 'v', architecture: 'a', description: 'd' });
});
