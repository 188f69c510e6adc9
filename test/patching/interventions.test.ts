// Interventions at every hook point, against an independent way: the cached activation is edited on the host, and the
// run with the intervention must show that activation there; written back by a host callback, it must lead to the same
// logits.

import { beforeAll, describe, expect, test } from 'vitest';
import type { Sample, VisionLanguageModel } from '../../src/models/index.ts';
import {
  type ActivationCache,
  add,
  hooks,
  type Intervention,
  interpolate,
  mean,
  type PatchSource,
  replace,
  runWithCache,
  runWithHooks,
  scale,
  zero,
} from '../../src/patching/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { Random } from '../support/random.ts';
import { HostActivation, sameLengthSamples } from './support.ts';

let golden: Golden;
let model: VisionLanguageModel;
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
});

async function host(cache: ActivationCache, name: string): Promise<HostActivation> {
  return new HostActivation(name, cache.get(name).shape, await cache.read(name));
}

async function hostCache(samples: readonly Sample[], names?: string): Promise<Map<string, HostActivation>> {
  const { cache } = await runWithCache(model, samples, names ? { names } : {});
  const activations = new Map<string, HostActivation>();
  for (const name of cache.names) activations.set(name, await host(cache, name));
  cache.release();
  return activations;
}

/** Where a source value is found, for the intervention's `i`th position. */
type SourceValue = (position: number, i: number, head: number, feature: number) => number;

/** What an intervention is to do to a batch row: every operation in f64. Returns the indices that it addresses. */
function simulate(
  x: HostActivation,
  row: number,
  intervention: Intervention,
  source: SourceValue,
): Set<number> {
  const { op, heads, features, positions, alpha = 1 } = intervention;
  const touched = new Set<number>();
  const all = (count: number) => Array.from({ length: count }, (_, i) => i);
  const [first, end] = features ?? [0, x.size];
  (positions ?? all(x.positions)).forEach((position, i) => {
    for (const head of heads ?? all(x.heads)) {
      for (let feature = first; feature < end; feature++) {
        const at = x.index(row, position, head, feature);
        const value = x.data[at] as number;
        const s = source(position, i, head, feature);
        const result = {
          replace: s,
          mean: s,
          zero: 0,
          add: value + alpha * s,
          scale: alpha * value,
          interpolate: (1 - alpha) * value + alpha * s,
        }[op as Exclude<typeof op, 'cut'>];
        x.data[at] = result;
        touched.add(at);
      }
    }
  });
  return touched;
}

const OPS = [
  'replace from a run',
  'replace from a cache',
  'replace by values',
  'zero',
  'mean',
  'add values',
  'scale',
  'interpolate to a cache',
] as const;

/** One intervention to test: on batch row `row`, with what its source holds. */
interface Trial {
  readonly intervention: Intervention;
  readonly source: SourceValue | 'mean';
}

/** A hook point by which the others of all blocks are alike. */
function kindOf(name: string): string {
  return name.replace(/\.blocks\.\d+\./, '.blocks.*.');
}

const RUNS = 2; // unedited rows, sources of the others
const SEED = 11;

describe('every hook point', () => {
  let samples: Sample[];
  let base: Map<string, HostActivation>;
  let baseLogits: Float32Array[];
  let foreign: ActivationCache;
  let foreignHost: Map<string, HostActivation>;
  beforeAll(async () => {
    samples = sameLengthSamples(golden, RUNS + 32);
    base = await hostCache(samples);
    baseLogits = await runWithHooks(model, samples, {});
    // A cache of another batch, whose second row is the source.
    ({ cache: foreign } = await runWithCache(model, samples.slice(3, 5).reverse()));
    foreignHost = new Map();
    for (const name of foreign.names) foreignHost.set(name, await host(foreign, name));
  });

  /** Random places of a hook point, and an intervention on them. */
  function trial(random: Random, name: string, row: number, op: (typeof OPS)[number]): Trial {
    const x = base.get(name) as HostActivation;
    const some = (count: number) => random.permutation(count).slice(0, 1 + random.integer(count));
    const positions = random.next() < 0.3 ? undefined : some(x.positions);
    const heads = x.heads === 1 || random.next() < 0.4 ? undefined : some(x.heads);
    const first = random.integer(x.size);
    const features =
      random.next() < 0.5 ? undefined : ([first, first + 1 + random.integer(x.size - first)] as const);
    const target = {
      hook: name,
      run: row,
      ...(positions ? { positions } : {}),
      ...(heads ? { heads } : {}),
      ...(features ? { features } : {}),
    };
    // Source positions of their own, if the intervention names any.
    const from =
      positions && random.next() < 0.5 ? positions.map(() => random.integer(x.positions)) : undefined;
    const place = (position: number, i: number) => from?.[i] ?? position;
    const alpha = Math.fround(2 * random.next() - 1);
    const width = (heads?.length ?? x.heads) * (features ? features[1] - features[0] : x.size);
    const everywhere = random.next() < 0.5;
    const values = random.vector(width * (everywhere ? 1 : (positions?.length ?? x.positions)));
    const valueAt: SourceValue = (_, i, head, feature) => {
      const h = heads ? heads.indexOf(head) : head;
      const [firstFeature, end] = features ?? [0, x.size];
      return values[
        (everywhere ? 0 : i * width) + h * (end - firstFeature) + feature - firstFeature
      ] as number;
    };
    const cachedAt: SourceValue = (p, i, head, feature) => {
      const other = foreignHost.get(name) as HostActivation;
      return other.data[other.index(1, place(p, i), head, feature)] as number;
    };
    const placed = <T extends object>(source: T) => ({ ...source, ...(from ? { positions: from } : {}) });
    const cached: PatchSource = placed({ cached: foreign.get(name), batch: 1 });
    switch (op) {
      case 'replace from a run': {
        const run = random.integer(RUNS);
        return {
          intervention: replace(target, placed({ run })),
          source: (p, i, head, feature) => x.data[x.index(run, place(p, i), head, feature)] as number,
        };
      }
      case 'replace from a cache':
        return { intervention: replace(target, cached), source: cachedAt };
      case 'replace by values':
        return { intervention: replace(target, { values }), source: valueAt };
      case 'zero':
        return { intervention: zero(target), source: () => 0 };
      case 'mean':
        return { intervention: mean(target), source: 'mean' };
      case 'add values':
        return { intervention: add(target, { values }, alpha), source: valueAt };
      case 'scale':
        return { intervention: scale(target, alpha), source: () => 0 };
      case 'interpolate to a cache':
        return { intervention: interpolate(target, cached, alpha), source: cachedAt };
    }
  }

  /** Hook points of one pass: one of each kind, in turn from every block. */
  function passNames(pass: number): string[] {
    const kinds = new Map<string, string[]>();
    for (const { name } of hooks(model)) kinds.set(kindOf(name), [...(kinds.get(kindOf(name)) ?? []), name]);
    return [...kinds.values()].map((names) => names[pass % names.length] as string);
  }

  test.each([0, 1, 2, 3, 4, 5, 6, 7])('each kind, pass %i of 8', async (pass) => {
    const random = new Random(SEED + pass);
    const names = passNames(pass);
    for (let from = 0; from < names.length; from += 32) {
      const part = names.slice(from, from + 32);
      const batch = samples.slice(0, RUNS + part.length);
      const trials = new Map(
        part.map((name, i) => {
          const op = OPS[(from + i + pass) % OPS.length] as (typeof OPS)[number];
          return [name, trial(random, name, RUNS + i, op)];
        }),
      );
      const { cache, logits } = await runWithCache(model, batch, {
        names: part,
        interventions: [...trials.values()].map(({ intervention }) => intervention),
      });
      // The hook point shows what the operation gives.
      const edited = new Map<string, HostActivation>();
      for (const [i, name] of part.entries()) {
        const actual = await host(cache, name);
        edited.set(name, actual);
        checkActivation(actual, RUNS + i, trials.get(name) as Trial, batch.length);
        // Rows edited here or below have changed; no others.
        for (let row = 0; row < batch.length; row++)
          if (row < RUNS || row > RUNS + i)
            expectSameBits(actual.row(row), (base.get(name) as HostActivation).row(row), { name });
      }
      cache.release();
      if (!logits) throw new Error('no logits');
      for (let row = 0; row < RUNS; row++) expectSameBits(logits[row]!, baseLogits[row]!);
      // Written back by the host, it leads to the same answer.
      const again = await runWithHooks(model, batch, {
        hooks: part.map((name, i) => ({
          hook: name,
          callback: (data, { shape }) => {
            const x = new HostActivation(name, shape, data);
            expectSameBits(x.row(RUNS + i), (base.get(name) as HostActivation).row(RUNS + i), { name });
            const row = (edited.get(name) as HostActivation).row(RUNS + i);
            const target = i % 2 === 0 ? data : data.slice();
            target.set(row, (RUNS + i) * row.length);
            return target;
          },
        })),
      });
      again.forEach((row, i) => {
        expectSameBits(row, logits[i]!, { name: part[i - RUNS] ?? 'unedited' });
      });
    }
  });

  function checkActivation(
    actual: HostActivation,
    row: number,
    { intervention, source }: Trial,
    rows: number,
  ) {
    const x = base.get(actual.name) as HostActivation;
    const expected = x.copy();
    const op = intervention.op;
    const sourceAt: SourceValue =
      source !== 'mean'
        ? source
        : (_, __, head, feature) => {
            // Of all rows of the batch there: this one as it was, the others as they have become.
            let sum = 0;
            for (let batch = 0; batch < rows; batch++)
              for (let p = 0; p < x.positions; p++)
                sum += (batch === row ? x : actual).data[x.index(batch, p, head, feature)] as number;
            return sum / (rows * x.positions);
          };
    const touched = simulate(expected, row, intervention, sourceAt);
    const largest = Math.max(...x.row(row).map(Math.abs));
    const first = row * (expected.data.length / (x.shape[0] as number));
    const name = `${op} at ${actual.name} ${JSON.stringify({ ...intervention, source: undefined })}`;
    expectClose(actual.row(row), expected.row(row), {
      // Untouched elements, copies, zeros and single products are exact; sums of two products have two roundings, of
      // which fma leaves out one; means are sums of hundreds in f32.
      atol: expected.row(row).map((value, i) => {
        if (!touched.has(first + i) || op === 'replace' || op === 'zero' || op === 'scale') return 0;
        return (op === 'mean' ? 2e-6 : 2 ** -22) * Math.max(largest, Math.abs(value), 1);
      }),
      name,
      shape: x.shape.slice(1),
    });
    // Nothing that should change stays by chance.
    expect(touched.size, name).toBeGreaterThan(0);
  }
});
