// Steering: the vector of two sets of samples and the answer under it are those that transformers gives (test/fixtures/steering).

import { beforeAll, describe, expect, test } from 'vitest';
import type { VisionLanguageModel } from '../../src/models/index.ts';
import {
  add,
  generateWithHooks,
  loadSteering,
  meanDifference,
  runWithCache,
  steeringFile,
  zero,
} from '../../src/patching/index.ts';
import { fileSource } from '../../src/platform/node/files.ts';
import {
  asFloat32,
  filesFolder,
  type HostTensor,
  readTensors,
  writeSafetensors,
} from '../../src/weights/index.ts';
import { expectClose } from '../support/close.ts';
import { fixture, GOLDEN, Golden, loadFixtureModel } from '../support/golden.ts';
import { expectNoticeError, withoutLeak } from './support.ts';

const folderOf = (bytes: Uint8Array<ArrayBuffer>) =>
  filesFolder(new Map([['steering.safetensors', new Blob([bytes])]]), 'vectors');

describe.each([
  ['llava-tiny', 'language.blocks.2.hook_resid_post', 3],
  ['blip-tiny', 'text_decoder.blocks.1.hook_normalized_resid_post', 2],
] as const)('%s', (folder, hook, alpha) => {
  let golden: Golden;
  let model: VisionLanguageModel;
  let expected: Map<string, HostTensor>;
  beforeAll(async () => {
    golden = await Golden.open(folder);
    model = await loadFixtureModel(folder);
    const file = await fileSource(fixture('steering/steered.safetensors'));
    expected = await readTensors(file);
    await file.close();
  });
  const values = (name: string) => asFloat32(expected.get(`${folder}/${name}`) as HostTensor, name);
  const samples = (side: 'clean' | 'corrupt') => ['case0', 'case1'].map((id) => golden.sample(id, side));

  test("transformers' vector, and its answer token by token, keys and values kept", async () => {
    const vectors = await withoutLeak(model.gpu, () =>
      meanDifference(model, samples('clean'), samples('corrupt'), { names: hook }),
    );
    expect([...vectors.keys()]).toEqual([hook]);
    // A difference of two activations, each as exact as GOLDEN of the largest of it.
    const { cache } = await runWithCache(model, samples('clean'), { names: hook });
    const largest = Math.max(...(await cache.read(hook)).map(Math.abs));
    cache.release();
    expectClose(vectors.get(hook) as Float32Array, values('vector'), { atol: GOLDEN * largest, name: hook });

    const loaded = await loadSteering(model, folderOf(steeringFile(vectors)));
    expect(loaded).toEqual(vectors);
    const interventions = Array.from(loaded, ([name, vector]) =>
      add({ hook: name }, { values: vector }, alpha),
    );
    const ids = Array.from((expected.get(`${folder}/ids`) as HostTensor).data, Number);
    const [answer] = await generateWithHooks(model, [golden.sample('case0', 'clean')], {
      interventions,
      maxNewTokens: ids.length,
      keepLogits: true,
    });
    expect(answer?.ids).toEqual(ids);
    const logits = values('logits');
    const largestLogit = Math.max(...logits.map(Math.abs));
    for (const [step, row] of (answer?.logits ?? []).entries())
      expectClose(row, logits.subarray(step * row.length, (step + 1) * row.length), {
        atol: GOLDEN * largestLogit,
        name: `step ${step}`,
      });
    const plain = await model.generate([golden.sample('case0', 'clean')], { maxNewTokens: ids.length });
    expect(plain[0]?.ids).not.toEqual(ids);
  });
});

describe('options', () => {
  const stream = 'language.blocks.1.hook_resid_pre';
  const heads = 'language.blocks.1.attn.hook_z';
  let golden: Golden;
  let model: VisionLanguageModel;
  beforeAll(async () => {
    golden = await Golden.open('llava-tiny');
    model = await loadFixtureModel('llava-tiny');
  });
  const sample = (side: 'clean' | 'corrupt' = 'clean') => golden.sample('case0', side);

  test('positions: all, or some, each sample their mean; interventions are at work', async () => {
    const names = [stream, heads];
    const { cache } = await runWithCache(model, [sample(), sample('corrupt')], { names });
    for (const [positions, mean] of [
      ['all', undefined],
      [
        [3, 7],
        [3, 7],
      ],
    ] as const) {
      const vectors = await meanDifference(model, [sample()], [sample('corrupt')], { names, positions });
      expect([...vectors.keys()]).toEqual(names);
      for (const name of names) {
        const found = vectors.get(name) as Float32Array;
        const width = found.length;
        const data = await cache.read(name);
        const { lengths } = cache.get(name);
        const meanOf = (batch: number, column: number) => {
          const of = mean ?? Array.from({ length: lengths[batch] as number }, (_, p) => p);
          const row = (p: number) => (batch * Math.max(...lengths) + p) * width + column;
          return of.reduce((sum, p) => sum + (data[row(p)] as number), 0) / of.length;
        };
        const expected = Array.from({ length: width }, (_, c) => meanOf(0, c) - meanOf(1, c));
        expectClose(found, expected, { atol: 1e-5 * Math.max(...data.map(Math.abs)), name });
      }
    }
    cache.release();
    const none = await meanDifference(model, [sample()], [sample('corrupt')], {
      names: heads,
      interventions: [zero({ hook: heads })],
    });
    expect(none.get(heads)?.every((value) => value === 0)).toBe(true);
  });

  test('what cannot be', async () => {
    const take = (names: string, negative = [sample()], positions?: number[]) =>
      meanDifference(model, [sample()], negative, { names, ...(positions && { positions }) });
    await expectNoticeError(() => take(stream, []), 'usage', /needs samples of both kinds/);
    await expectNoticeError(() => take(stream, [sample()], [400]), 'hook', /position 400 does not exist/);
    await expectNoticeError(
      () => take('language.blocks.0.attn.hook_pattern'),
      'hook',
      /hook_pattern is as wide as the prompt is long/,
    );
    const load = (name: string, data: Float32Array<ArrayBuffer>) => () =>
      loadSteering(
        model,
        folderOf(writeSafetensors(new Map([[name, { dtype: 'F32', shape: [data.length], data }]]))),
      );
    for (const [make, message] of [
      [
        load('blocks.1.hook_q', new Float32Array(4)),
        /tensor "blocks\.1\.hook_q" is under the name of no hook point/,
      ],
      [load(stream, new Float32Array(4)), /has 4 values, the hook point \[position, \d+\] takes \d+/],
      [load(stream, new Float32Array(model.configs.at(-1)?.width as number).fill(Number.NaN)), /not finite/],
      [
        () => loadSteering(model, folderOf(new Uint8Array(4)), 'other.safetensors'),
        /vectors has no other\.safetensors/,
      ],
    ] as const)
      await expectNoticeError(make, 'weights', message);
  });
});
