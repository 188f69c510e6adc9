// A user's own code at a hook point: WGSL on the GPU, or a callback on the host.

import { beforeAll, describe, expect, test } from 'vitest';
import { ShaderError } from '../../src/gpu/index.ts';
import type { Sample, VisionLanguageModel } from '../../src/models/index.ts';
import {
  type CustomHook,
  generateWithHooks,
  hooks,
  runWithCache,
  runWithHooks,
  zero,
} from '../../src/patching/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { expectNoticeError, HostActivation, withoutLeak } from './support.ts';

let golden: Golden;
let model: VisionLanguageModel;
/** 10, 15 and 6 tokens. */
let samples: Sample[];
let plain: Float32Array[];
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
  samples = ['case0', 'case1', 'case2'].map((id) => golden.sample(id, 'clean'));
  plain = await runWithHooks(model, samples, {});
});

/** A hook point of the batch after some hooks. */
async function edited(name: string, custom: readonly CustomHook[]): Promise<HostActivation> {
  const { cache } = await runWithCache(model, samples, { names: name, stopAfter: name, hooks: custom });
  const activation = new HostActivation(name, cache.get(name).shape, await cache.read(name));
  cache.release();
  return activation;
}

const KINDS = [
  'vision.hook_embed',
  'vision.blocks.1.attn.hook_k',
  'vision.blocks.2.attn.hook_pattern',
  'text_encoder.blocks.0.attn.hook_q',
  'text_encoder.blocks.1.attn.hook_attn_scores',
  'text_encoder.blocks.1.cross_attn.hook_v',
  'text_encoder.blocks.2.cross_attn.hook_pattern',
  'text_encoder.blocks.2.mlp.hook_pre',
  'text_decoder.blocks.0.cross_attn.hook_k',
  'text_decoder.blocks.1.cross_attn.hook_z',
  'text_decoder.hook_head_transform',
  'logits',
];

describe('WGSL', () => {
  test.each(KINDS)('sees the batch, position, head and feature of every value: %s', async (name) => {
    const wgsl = 'return f32(batch) * 1e6 + f32(position) * 1e4 + f32(head) * 1e3 + f32(feature);';
    const lengths = samples.map(({ ids }) => ids.length);
    const found = await edited(name, [{ hook: name, wgsl }]);
    const { cache } = await runWithCache(model, samples, { names: name, stopAfter: name });
    const { lengths: positions, keys } = cache.get(name);
    cache.release();
    let seen = 0;
    positions.forEach((length, b) => {
      for (let p = 0; p < length; p++)
        for (let h = 0; h < found.heads; h++)
          for (let f = 0; f < (keys?.[b] ?? found.size); f++, seen++)
            if (found.data[found.index(b, p, h, f)] !== b * 1e6 + p * 1e4 + h * 1e3 + f)
              throw new Error(`${name}: ${[b, p, h, f]} has ${found.data[found.index(b, p, h, f)]}`);
    });
    expect(seen).toBeGreaterThan(0);
    expect(lengths).toEqual([10, 15, 6]);
  });

  test('changes what it says and nothing else', async () => {
    const name = 'text_encoder.blocks.1.mlp.hook_post';
    const found = await edited(name, [
      { hook: name, wgsl: 'if (batch == 1u && position == 3u) { return max(value, 0.1); }\nreturn value;' },
    ]);
    const before = await edited(name, []);
    for (const [b, length] of [10, 15, 6].entries())
      for (let p = 0; p < length; p++)
        for (let f = 0; f < found.size; f++) {
          const value = before.data[before.index(b, p, 0, f)]!;
          const expected = b === 1 && p === 3 ? Math.max(value, Math.fround(0.1)) : value;
          expect(found.data[found.index(b, p, 0, f)]).toBe(expected);
        }
    const logits = await runWithHooks(model, samples, {
      hooks: [{ hook: name, wgsl: 'if (batch == 1u) { return 0.0; } return value;' }],
    });
    const zeroed = await runWithHooks(model, samples, { interventions: [zero({ hook: name, run: 1 })] });
    logits.forEach((row, i) => {
      expectSameBits(row, zeroed[i]!);
    });
    expect(logits[1]).not.toEqual(plain[1]);
  });

  test('hooks at one point run in the order given, after the interventions', async () => {
    const name = 'text_encoder.blocks.0.hook_mlp_out';
    const run = await runWithCache(model, samples, {
      names: name,
      stopAfter: name,
      interventions: [zero({ hook: name })],
      hooks: [
        { hook: name, wgsl: 'return value + 2.0;' },
        { hook: name, callback: (data) => data.map((x) => 3 * x) },
        { hook: name, wgsl: 'return value + 1.0;' },
      ],
    });
    const values = await run.cache.read(name);
    expect(values[0]).toBe(7);
    run.cache.release();
  });

  test.each([
    ['while', 'while (true) { }\nreturn value;'],
    ['for', 'for (var i = 0u; ; i += 1u) { if (value > 1e30) { return 0.0; } }'],
    ['loop', 'var x = value;\nloop { if (x > 1e30) { break; } continuing { x *= 0.5; } }\nreturn x;'],
    [
      'a loop that goes on in what follows a turn',
      'loop { continuing { while (true) { } break if true; } }\nreturn value;',
    ],
    ['one in another', 'for (var i = 0; i < 10; i++) { while (value < 1e30) { } }\nreturn value;'],
    [
      'one among comments',
      '/* { /* loop */ } */ while/* { */(true)// {\u2028 /*\n{ /* } */ } */ { } //*/\nreturn value; // }',
    ],
    ['one with attributes', 'while true @diagnostic(off, derivative_uniformity) { }\nreturn value;'],
  ])('ends with an error that names the hook when its loops do not end: %s', async (_, wgsl) => {
    const hooks = [
      { hook: 'text_encoder.blocks.0.hook_mlp_out', wgsl: 'return value;' },
      { hook: 'text_encoder.blocks.1.hook_mlp_out', wgsl },
    ];
    const message = /the WGSL of a hook at text_encoder\.blocks\.1\.hook_mlp_out took more than 1000 turns/;
    await withoutLeak(model.gpu, () =>
      expectNoticeError(() => runWithHooks(model, samples, { hooks, loopLimit: 1000 }), 'hook', message),
    );
    expectSameBits((await runWithHooks(model, samples, {}))[0]!, plain[0]!);
  });

  test('ends in answers and in what is cached, too, within the limit that is the default', async () => {
    const hooks = [{ hook: 'text_encoder.blocks.1.hook_mlp_out', wgsl: 'while (true) { }\nreturn value;' }];
    const message = /more than 100000 turns/;
    await expectNoticeError(() => generateWithHooks(model, samples, { hooks }), 'hook', message);
    const caching = () =>
      runWithCache(model, samples, { hooks, names: hooks[0]!.hook, stopAfter: hooks[0]!.hook });
    await expectNoticeError(caching, 'hook', message);
  });

  test('may take as many turns as the limit says for every value, in all loops together', async () => {
    const name = 'text_encoder.blocks.1.hook_mlp_out';
    const wgsl =
      'var looped = 0.0; // for (;;) {\nfor (var i = 0; i < 6; i++) { looped += 1.0; }\nloop { looped += 1.0; if (looped >= 10.0) { break; } }\nreturn looped;';
    const hooks = [{ hook: name, wgsl }];
    const options = { names: name, stopAfter: name, hooks };
    // The turn in which a condition fails is no turn.
    const { cache } = await runWithCache(model, samples, { ...options, loopLimit: 10 });
    expect([...new Set(await cache.read(name))]).toEqual([10, 0]);
    cache.release();
    await expectNoticeError(
      () => runWithCache(model, samples, { ...options, loopLimit: 9 }),
      'hook',
      /more than 9 turns/,
    );
    await expectNoticeError(
      () => runWithCache(model, samples, { ...options, loopLimit: 0 }),
      'usage',
      /loopLimit is 0/,
    );
  });

  test.each<[string, string, RegExp]>([
    [
      'an unknown function',
      'let a = value;\nreturn maxx(a, 0.0);',
      /line 2: .*'maxx'[\s\S]*return maxx\(a, 0\.0\);/,
    ],
    ['a wrong type', 'return batch;', /line 1: .*(u32|return)/],
    ['a missing bracket', 'return max(value, 0.0;', /line 1: /],
    ['no return', 'let a = value;', /missing return/],
    [
      'text that ends the function',
      'return value;\n}\nfn main() -> f32 { return 1.0;',
      /line 3: .*[\s\S]*fn main/,
    ],
    ['text that ends it twice', 'return value; } } fn main() -> f32 { { return 1.0;', /line 1: /],
  ])('that does not compile: %s', async (_, wgsl, message) => {
    const name = 'text_encoder.blocks.1.hook_mlp_out';
    const run = () => runWithHooks(model, samples, { hooks: [{ hook: name, wgsl }] });
    for (let time = 0; time < 2; time++) {
      await withoutLeak(model.gpu, () => expectNoticeError(run, 'shader', message));
      await expect(run()).rejects.toThrow(ShaderError);
      await expect(run()).rejects.toThrow(`the WGSL of a hook at ${name} does not compile`);
    }
    // The next run has nothing to do with it.
    (await runWithHooks(model, samples, {})).forEach((row, i) => {
      expectSameBits(row, plain[i]!);
    });
  });
});

describe('a callback', () => {
  test.each(KINDS)('reads, and gives back what it read: %s', async (name) => {
    const { cache } = await runWithCache(model, samples, { names: name });
    const expected = await cache.read(name);
    const { shape } = cache.get(name);
    cache.release();
    const calls: string[] = [];
    const callback = (how: 'nothing' | 'same' | 'copy' | 'later') =>
      runWithHooks(model, samples, {
        hooks: [
          {
            hook: name,
            callback: (data, info) => {
              calls.push(info.name);
              expect(info.shape).toEqual(shape);
              expectSameBits(data, expected, { name });
              if (how === 'nothing') return undefined;
              if (how === 'same') return data;
              return how === 'copy' ? data.slice() : new Promise((done) => setTimeout(() => done(data), 2));
            },
          },
        ],
      });
    for (const how of ['nothing', 'same', 'copy', 'later'] as const)
      (await callback(how)).forEach((row, i) => {
        expectSameBits(row, plain[i]!, { name: `${name}, ${how}` });
      });
    expect(calls).toEqual([name, name, name, name]);
  });

  test('edits in place, and by what it returns', async () => {
    const name = 'text_encoder.blocks.1.attn.hook_z';
    const zeroed = await runWithHooks(model, samples, {
      interventions: [zero({ hook: name, run: 2, heads: [1] })],
    });
    const edit = (data: Float32Array, shape: readonly number[]) => {
      const z = new HostActivation(name, shape, data);
      for (let p = 0; p < 6; p++) for (let f = 0; f < 10; f++) z.data[z.index(2, p, 1, f)] = 0;
    };
    const inPlace = await runWithHooks(model, samples, {
      hooks: [
        {
          hook: name,
          callback: (data, { shape }) => {
            edit(data, shape);
            return undefined;
          },
        },
      ],
    });
    const returned = await runWithHooks(model, samples, {
      hooks: [
        {
          hook: name,
          callback: async (data, { shape }) => {
            const copy = data.slice();
            edit(copy, shape);
            data.fill(Number.NaN);
            return copy;
          },
        },
      ],
    });
    for (const [i, row] of zeroed.entries()) {
      expectSameBits(inPlace[i]!, row);
      expectSameBits(returned[i]!, row);
    }
    expect(zeroed[2]).not.toEqual(plain[2]);
  });

  test('what it writes beyond a shorter prompt has no effect', async () => {
    const logits = await runWithHooks(model, samples, {
      hooks: [
        {
          hook: 'text_encoder.blocks.0.attn.hook_pattern',
          callback: (data, { name, shape }) => {
            const pattern = new HostActivation(name, shape, data);
            for (let h = 0; h < pattern.heads; h++)
              for (let q = 0; q < 15; q++)
                for (let k = 0; k < 15; k++) if (q >= 6 || k >= 6) data[pattern.index(2, q, h, k)] = 99;
            return undefined;
          },
        },
      ],
    });
    logits.forEach((row, i) => {
      expectSameBits(row, plain[i]!);
    });
  });

  test('sees what interventions and hooks before it have done', async () => {
    const seen: number[] = [];
    await runWithHooks(model, samples, {
      interventions: [zero({ hook: 'vision.hook_out' })],
      hooks: [
        { hook: 'vision.hook_out', wgsl: 'return value + f32(feature);' },
        {
          hook: 'vision.hook_out',
          callback: (data) => {
            seen.push(...data.slice(0, 3));
            return undefined;
          },
        },
      ],
    });
    expect(seen).toEqual([0, 1, 2]);
  });

  test.each([
    ['at once', () => Promise.resolve()],
    ['after it waited', () => new Promise((resolve) => setTimeout(resolve, 1))],
  ])('that runs the model on the device that waits for it, %s', async (_, wait) => {
    const hook = 'text_encoder.blocks.1.hook_mlp_out';
    const answers = await model.generate(samples);
    const within: [unknown, () => Promise<unknown>][] = [
      [plain, () => runWithHooks(model, samples, {})],
      [plain, async () => (await runWithCache(model, samples, { names: 'logits' })).logits],
      [answers, () => model.generate(samples)],
    ];
    for (const [expected, run] of within) {
      let found: unknown;
      const callback = async () => {
        await wait();
        found = await run();
        return undefined;
      };
      expect(await runWithHooks(model, samples, { hooks: [{ hook, callback }] })).toEqual(plain);
      expect(found).toEqual(expected);
    }
  });

  test('that begins a run and does not wait for it', async () => {
    const hook = 'text_encoder.blocks.1.hook_mlp_out';
    let other: Promise<Float32Array[]> | undefined;
    const callback = () => {
      other = runWithHooks(model, samples, {});
      return undefined;
    };
    expect(await runWithHooks(model, samples, { hooks: [{ hook, callback }] })).toEqual(plain);
    expect(await other).toEqual(plain);
  });

  test('with a wrong number of values', async () => {
    for (const count of [0, 3, 3 * 15 * 40 + 1])
      await withoutLeak(model.gpu, () =>
        expectNoticeError(
          () =>
            runWithHooks(model, samples, {
              hooks: [{ hook: 'text_encoder.hook_embed', callback: () => new Float32Array(count) }],
            }),
          'hook',
          `text_encoder.hook_embed: the callback returned ${count} values, the activation [3, 15, 40] has 1800`,
        ),
      );
  });

  test('at a hook point that does not exist', async () => {
    for (const hook of [{ callback: () => undefined }, { wgsl: 'return value;' }])
      await expectNoticeError(
        () => runWithHooks(model, samples, { hooks: [{ hook: 'vision.hook_outt', ...hook }] }),
        'hook',
        /unknown hook point "vision\.hook_outt"; the nearest are vision\.hook_out/,
      );
  });
});

test('every hook point calls once', async () => {
  const calls: string[] = [];
  await runWithHooks(model, samples.slice(0, 1), {
    hooks: hooks(model).map(({ name }) => ({
      hook: name,
      callback: (data) => {
        expectClose(data, data, {});
        calls.push(name);
        return undefined;
      },
    })),
  });
  expect(calls).toEqual(hooks(model).map(({ name }) => name));
});
