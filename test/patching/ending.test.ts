// Calls that are ended: by their signal, by the end of the device, by callbacks that take too long. Every one of them ends.

import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { DeviceLostError, type Gpu } from '../../src/gpu/index.ts';
import {
  loadModel,
  ModelRun,
  planModel,
  type Sample,
  type VisionLanguageModel,
} from '../../src/models/index.ts';
import {
  attentionToImage,
  type CustomHook,
  generateWithHooks,
  knockout,
  logitLens,
  planSweep,
  runWithCache,
  runWithHooks,
  type SweepJob,
  sweep,
} from '../../src/patching/index.ts';
import { openGpu } from '../../src/platform/node/adapter.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { expectSameBits } from '../support/close.ts';
import { fixture, Golden, loadFixtureModel } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { LONG, long } from '../support/long.ts';
import { Random } from '../support/random.ts';
import { caseJob, expectNoticeError, withoutLeak } from './support.ts';

const HOOK = 'text_encoder.blocks.1.hook_mlp_out';
/** Longer than any call here takes, in ms: what has not ended by then hangs. */
const PATIENCE = 20_000;

let golden: Golden;
let gpu: Gpu;
let model: VisionLanguageModel;
let samples: Sample[];
let job: SweepJob;
let plain: Float32Array[];
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  gpu = await testGpu();
  model = await loadFixtureModel('blip-tiny');
  samples = ['case0', 'case1'].map((id) => golden.sample(id, 'clean'));
  job = caseJob(golden, 'case0', [{ site: 'text_encoder.hook_mlp_out' }]);
  plain = await runWithHooks(model, samples, {});
});
afterEach(() => vi.restoreAllMocks());

const folder = () => nodeFolder(fixture('blip-tiny'));
const never: CustomHook = { hook: HOOK, callback: () => new Promise(() => {}) };

interface Options {
  readonly signal?: AbortSignal;
  readonly hooks?: readonly CustomHook[];
}

/** Everything that takes a signal, on a model. */
const CALLS: Record<string, (m: VisionLanguageModel, options: Options) => Promise<unknown>> = {
  runWithHooks: (m, options) => runWithHooks(m, samples, options),
  runWithCache: async (m, options) =>
    (await runWithCache(m, samples, { ...options, names: HOOK })).cache.release(),
  knockout: (m, options) => knockout(m, samples, { from: 'image', ...options }),
  logitLens: (m, options) => logitLens(m, samples, options),
  attentionToImage: (m, options) => attentionToImage(m, samples[0] as Sample, options),
  generate: (m, { signal }) => m.generate(samples, { maxNewTokens: 4, ...(signal && { signal }) }),
  generateWithHooks: (m, options) => generateWithHooks(m, samples, { maxNewTokens: 4, ...options }),
  sweep: (m, { signal }) => sweep(m, [job], { cellsPerWalk: 20, ...(signal && { signal }) }),
  planSweep: (m, { signal }) => planSweep(m, [job], signal && { signal }),
  loadModel: async (m, { signal }) =>
    (await loadModel(m.gpu, await folder(), signal && { signal })).destroy(),
  'loadModel, quantised': async (m, { signal }) =>
    (await loadModel(m.gpu, await folder(), { dtype: 'int8', ...(signal && { signal }) })).destroy(),
};
const NAMES = Object.keys(CALLS);

/** How a call ended: its error, if it threw one. Fails if it never does. */
async function end(call: Promise<unknown>): Promise<unknown> {
  let timeout: NodeJS.Timeout | undefined;
  const hangs = new Promise((_, reject) => {
    timeout = setTimeout(() => reject(new Error('it hangs')), PATIENCE);
  });
  try {
    const ended = call.then(
      () => undefined,
      (error: unknown) => error,
    );
    return await Promise.race([ended, hangs]);
  } finally {
    clearTimeout(timeout);
  }
}

/** As some calls need: the model still answers as ever. */
async function expectUsable(): Promise<void> {
  const logits = await runWithHooks(model, samples, {});
  logits.forEach((row, i) => {
    expectSameBits(row, plain[i]!);
  });
}

describe('a signal', () => {
  test.each(NAMES)('that has aborted ends %s at once', async (name) => {
    const reason = new Error('enough');
    await withoutLeak(gpu, async () => {
      expect(await end(CALLS[name]!(model, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    });
    await expectNoticeError(
      () => CALLS[name]!(model, { signal: 'soon' as unknown as AbortSignal }),
      'usage',
      /signal is "soon"/,
    );
  });

  test('ends calls at any moment, with its reason; nothing leaks, and the device goes on', async () => {
    const random = new Random(16);
    const times = new Map<string, number>();
    const counts = { draws: 0, completed: 0, 'its reason': 0 };
    for (let draw = 0; draw < long(2, 25) * NAMES.length; draw++) {
      const name = NAMES[draw % NAMES.length] as string;
      // Undisturbed first, to see how long it takes.
      const started = performance.now();
      if (!times.has(name)) await CALLS[name]!(model, {});
      const whole = times.get(name) ?? performance.now() - started;
      times.set(name, whole);
      const controller = new AbortController();
      const reason = new Error(`${name}, draw ${draw}`);
      await withoutLeak(gpu, async () => {
        const call = CALLS[name]!(model, { signal: controller.signal });
        setTimeout(() => controller.abort(reason), whole * random.next());
        const error = await end(call);
        expect([undefined, reason]).toContain(error);
        counts.draws++;
        counts[error === undefined ? 'completed' : 'its reason']++;
      });
    }
    await expectUsable();
    if (LONG) console.log('aborted', JSON.stringify(counts));
  }, 3_600_000);

  test.each(['runWithHooks', 'runWithCache', 'generateWithHooks'])(
    'ends %s while a callback is waited for that never answers',
    async (name) => {
      const controller = new AbortController();
      const reason = new Error('enough');
      const callback = () => {
        controller.abort(reason);
        return new Promise<undefined>(() => {});
      };
      await withoutLeak(gpu, async () => {
        const call = CALLS[name]!(model, { signal: controller.signal, hooks: [{ hook: HOOK, callback }] });
        expect(await end(call)).toBe(reason);
      });
      await expectUsable();
    },
  );

  test('ends a call that waits for its turn, and only that', async () => {
    const controller = new AbortController();
    const order: string[] = [];
    const turn = (name: string, signal?: AbortSignal) => gpu.work(() => void order.push(name), { signal });
    let finish = () => {};
    const first = gpu.work(() => new Promise<void>((resolve) => (finish = resolve)));
    const [second, third] = [turn('second', controller.signal), turn('third')];
    controller.abort();
    expect(await end(second)).toBe(controller.signal.reason);
    finish();
    await Promise.all([first, third]);
    expect(order).toEqual(['third']);
  });

  test('frees every weight that was loaded so far', async () => {
    const created: GPUBuffer[] = [];
    const create = gpu.device.createBuffer.bind(gpu.device);
    const destroyed = new Set<GPUBuffer>();
    vi.spyOn(gpu.device, 'createBuffer').mockImplementation((descriptor) => {
      const buffer = create(descriptor);
      const destroy = buffer.destroy.bind(buffer);
      buffer.destroy = () => {
        destroyed.add(buffer);
        return destroy();
      };
      created.push(buffer);
      return buffer;
    });
    const controller = new AbortController();
    const source = await folder();
    let reads = 0;
    const call = loadModel(
      gpu,
      {
        name: source.name,
        open: async (file) => {
          const bytes = await source.open(file);
          const read = async (offset: number, length: number) => {
            if (++reads === 12) setTimeout(() => controller.abort());
            // A source that falls silent.
            return reads < 12 ? bytes!.read(offset, length) : new Promise<never>(() => {});
          };
          return bytes && { ...bytes, read, close: () => bytes.close() };
        },
      },
      { signal: controller.signal },
    );
    expect(await end(call)).toBe(controller.signal.reason);
    expect(created.length).toBeGreaterThan(3);
    expect(created.filter((buffer) => !destroyed.has(buffer))).toEqual([]);
  });
});

describe('callbackTimeout', () => {
  test.each(['runWithHooks', 'generateWithHooks'])(
    'ends a callback of %s that never answers',
    async (name) => {
      await withoutLeak(gpu, async () => {
        const call = CALLS[name]!(model, { hooks: [never], callbackTimeout: 20 } as Options);
        await expectNoticeError(() => call, 'hook', `${HOOK}: the callback took longer than 20 ms`);
      });
      await expectUsable();
    },
  );

  test('leaves those alone that answer in time, however long the limit', async () => {
    const hooks: CustomHook[] = [{ hook: HOOK, callback: async (data) => data }];
    for (const callbackTimeout of [10_000, 1e12, Number.POSITIVE_INFINITY])
      expectSameBits((await runWithHooks(model, samples, { hooks, callbackTimeout }))[0]!, plain[0]!);
    await expectNoticeError(
      () => runWithHooks(model, samples, { callbackTimeout: 0 }),
      'usage',
      /callbackTimeout/,
    );
  });
});

describe('a model that is destroyed', () => {
  test('after a call that failed, leaves other models unharmed', async () => {
    const other = await loadFixtureModel('blip-tiny');
    const fail = () => {
      throw new Error('in a callback');
    };
    const failing = runWithHooks(other, samples, {
      hooks: [
        { hook: HOOK, wgsl: 'return 2.0 * value;' },
        { hook: HOOK, callback: fail },
      ],
    });
    await expect(failing).rejects.toThrow('in a callback');
    const stopped = runWithHooks(other, samples, { interventions: [{ hook: HOOK, op: 'add' }] });
    await expect(stopped).rejects.toThrow();
    other.destroy();
    await expectUsable();
  });

  test('is still there for the work that was recorded with it', async () => {
    const other = await loadFixtureModel('blip-tiny');
    const logits = await gpu.work(async (w) => {
      const { tensor } = await other.forward(w, [new ModelRun(samples[0]!)]);
      other.destroy();
      return (await w.read(tensor))[0]!;
    });
    expectSameBits(logits, plain[0]!);
  });
});

describe('a destroyed device', () => {
  /** A device of its own with a model. */
  async function ownModel(): Promise<VisionLanguageModel> {
    return loadFixtureModel('blip-tiny', { gpu: await openGpu() });
  }

  const isDestroyed = (error: unknown) =>
    error instanceof DeviceLostError &&
    error.reason === 'destroyed' &&
    /this Gpu was destroyed/.test(error.message);

  test('ends what waits for it, and refuses everything after', async () => {
    const own = await ownModel();
    const { cache } = await runWithCache(own, samples, { names: HOOK });
    const held = end(runWithHooks(own, samples, { hooks: [never] }));
    // A plan waits for nothing.
    const running = NAMES.filter((name) => name !== 'planSweep').map((name) => end(CALLS[name]!(own, {})));
    await new Promise((resolve) => setTimeout(resolve, 20));
    own.gpu.destroy();
    for (const call of [held, ...running]) expect(await call).toSatisfy(isDestroyed);
    const late = [
      ...NAMES.map((name) => CALLS[name]!(own, {})),
      planModel(own.gpu, await folder()),
      cache.read(HOOK),
      own.gpu.finish(),
      own.gpu.createBuffer(16, 0x80, 'late'),
      runWithHooks(own, samples, { hooks: [{ hook: HOOK, wgsl: 'return value;' }] }),
    ];
    for (const error of await Promise.all(late.map(end))) expect(error).toSatisfy(isDestroyed);
    cache.release();
    own.destroy();
    own.gpu.destroy();
  });

  test('ends what waits for it at any moment', async () => {
    const random = new Random(61);
    const counts = { draws: 0, calls: 0, completed: 0, 'device lost': 0 };
    for (let draw = 0; draw < long(3, 100); draw++) {
      const own = await ownModel();
      const drawn = Array.from({ length: 1 + random.integer(3) }, () => NAMES[random.integer(NAMES.length)]!);
      const delay = 150 * random.next() ** 2;
      const calls = drawn.map((name) => end(CALLS[name]!(own, {})));
      setTimeout(() => own.gpu.destroy(), delay);
      for (const [i, call] of calls.entries()) {
        const error = await call;
        expect(error === undefined || isDestroyed(error), `draw ${draw}: ${drawn[i]}: ${error}`).toBe(true);
        counts.calls++;
        counts[error === undefined ? 'completed' : 'device lost']++;
      }
      counts.draws++;
    }
    if (LONG) console.log('destroyed', JSON.stringify(counts));
  }, 3_600_000);
});
