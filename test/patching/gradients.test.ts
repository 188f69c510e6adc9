import { describe, expect, test } from 'vitest';
import {
  add,
  type Intervention,
  interpolate,
  logit,
  logitDifference,
  logProbability,
  type Metric,
  probability,
  replace,
  runWithGradients,
  scale,
  weighted,
  zero,
} from '../../src/patching/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { GRADIENT, GradientGolden } from '../support/gradient-golden.ts';

describe.each(['blip-tiny', 'llava-tiny', 'llava-tiny-gqa'])('%s', (folder) => {
  test.each(['case0', 'case2'])('gradients of %s are those of torch.autograd', async (id) => {
    const gradients = await GradientGolden.open(folder);
    const { model, golden } = gradients;
    const names = gradients.names(`${id}/grad/`).filter((name) => name !== 'pixel_values');
    const found = await runWithGradients(model, [golden.sample(id, 'corrupt')], {
      metric: gradients.metric(id),
      names,
      pixels: true,
    });
    for (const name of names) {
      const { shape, data } = gradients.get(`${id}/grad/${name}`);
      expect(found.gradients.get(name).shape, name).toEqual([1, ...shape]);
      expectClose(await found.gradients.read(name), data, { ofMax: GRADIENT, name, shape });
    }
    const { shape, data } = gradients.get(`${id}/grad/pixel_values`);
    expectClose(found.pixels?.[0]?.[0] ?? [], data, { ofMax: GRADIENT, name: 'pixel_values', shape });
    found.release();
  });
});

describe('what is differentiated', () => {
  test('a batch has the bits of single samples, whatever else is in it, and two runs have the same', async () => {
    for (const folder of ['blip-tiny', 'llava-tiny-gqa']) {
      const { model, golden } = await GradientGolden.open(folder);
      const samples = golden.cases.map(({ id }) => golden.sample(id, 'clean'));
      const metrics = golden.cases.map((one) => logitDifference(one.correct_token, one.incorrect_token));
      const options = {
        names: ['*.hook_resid_pre', '*.hook_k', '*.mlp.hook_post'].map((g) => `**${g}`),
        pixels: true,
      };
      const together = await runWithGradients(model, samples, { ...options, metric: metrics });
      for (const [i, sample] of samples.entries()) {
        const alone = await runWithGradients(model, [sample], { ...options, metric: metrics[i]! });
        for (const name of alone.gradients.names) {
          const own = alone.gradients.get(name);
          const all = together.gradients.get(name);
          const [expected, found] = [await own.read(), await all.read()];
          for (let p = 0; p < own.lengths[0]!; p++)
            expectSameBits(all.valuesOf(found, i, p), own.valuesOf(expected, 0, p), { name });
        }
        expectSameBits(together.pixels![i]![0]!, alone.pixels![0]![0]!, { name: 'pixel_values' });
        alone.release();
      }
      together.release();
    }
  });

  test('every metric has its derivative', async () => {
    const { model, golden } = await GradientGolden.open('blip-tiny');
    const sample = golden.sample('case0', 'clean');
    const names = 'text_encoder.blocks.1.hook_mlp_out';
    const of = async (metric: Metric) => {
      const found = await runWithGradients(model, [sample], { metric, names });
      const values = await found.gradients.read(names);
      found.release();
      return { ...found, gradient: values };
    };
    const [a, b] = [5, 9];
    const token = await of(logit(a));
    const other = await of(logit(b));
    const p = softmax(token.logits[0]!);
    const difference = await of(logitDifference(a, b));
    expectClose(
      difference.gradient,
      token.gradient.map((x, i) => x - other.gradient[i]!),
      { ofMax: 1e-5 },
    );
    // By the chain rule from the gradient of the log-sum-exp, which is that of the logits weighted by their probabilities.
    const mean = await of(weighted(p));
    const logP = await of(logProbability(a));
    expectClose(
      logP.gradient,
      token.gradient.map((x, i) => x - mean.gradient[i]!),
      { ofMax: 1e-5 },
    );
    expectClose(logP.values, [Math.log(p[a]!)], { rtol: 1e-5 });
    const prob = await of(probability(a));
    expectClose(
      prob.gradient,
      logP.gradient.map((x) => p[a]! * x),
      { ofMax: 1e-5 },
    );
  });

  test('what an intervention replaces has no effect, what it scales has its share', async () => {
    const { model, golden } = await GradientGolden.open('llava-tiny-gqa');
    const sample = golden.sample('case0', 'clean');
    const hook = 'language.blocks.1.hook_mlp_out';
    const metric = logitDifference(5, 9);
    const before = 'language.blocks.1.mlp.hook_post';
    const of = async (interventions: Intervention[]) => {
      const found = await runWithGradients(model, [sample], { metric, names: [hook, before], interventions });
      const [values, gradient] = [await found.cache.read(hook), await found.gradients.read(before)];
      found.release();
      return { values, gradient };
    };
    const last = sample.ids.length - 1;
    const zeroed = (await of([zero({ hook, positions: [last] })])).gradient;
    const width = zeroed.length / sample.ids.length;
    expect(zeroed.subarray(last * width).every((x) => x === 0)).toBe(true);
    expect(zeroed.subarray(0, last * width).some((x) => x !== 0)).toBe(true);
    // What is taken of a value is given back as a constant, so that the run stays what it is but for rounding.
    const plain = await of([]);
    const quarter = await of([interpolate({ hook }, { values: plain.values }, 0.25)]);
    expectClose(
      quarter.gradient,
      plain.gradient.map((x) => 0.75 * x),
      { ofMax: 1e-4 },
    );
    const half = await of([scale({ hook }, 0.5), add({ hook }, { values: plain.values }, 0.5)]);
    expectClose(
      half.gradient,
      plain.gradient.map((x) => 0.5 * x),
      { ofMax: 1e-4 },
    );
  });

  test('an operator without a derivative is named with its family', async () => {
    const { model, golden } = await GradientGolden.open('llava-tiny-gqa');
    const names = 'language.blocks.0.hook_resid_pre';
    const samples = [golden.sample('case0', 'clean'), golden.sample('case0', 'corrupt')];
    await expect(
      runWithGradients(model, samples, {
        metric: logit(3),
        names,
        interventions: [replace({ hook: 'language.blocks.1.hook_mlp_out', run: 0 }, { run: 1 })],
      }),
    ).rejects.toMatchObject({ code: 'gradient', message: /^llava: the operator "replace" from another row/ });
  });
});

function softmax(logits: Float32Array): Float32Array {
  const largest = Math.max(...logits);
  const total = logits.reduce((sum, x) => sum + Math.exp(x - largest), 0);
  return logits.map((x) => Math.exp(x - largest) / total);
}
