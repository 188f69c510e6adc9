import { describe, expect, test } from 'vitest';
import { candidates, type SamplingOptions, sampler, tokenAt } from '../../src/inputs/index.ts';
import { expectClose } from '../support/close.ts';

/** Tokens 2, 0, 3, 1, from likely to unlikely. */
const PROBABILITIES = [0.25, 0.1, 0.5, 0.15];
const LOGITS = Float32Array.from(PROBABILITIES, (p) => Math.log(p) + 3);

/** What f32 logits leave of probabilities. */
const F32 = 1e-6;

function distribution(
  options: SamplingOptions,
  logits = LOGITS,
): [tokens: number[], probabilities: number[]] {
  const found = candidates(logits, options);
  return [found.map(({ token }) => token), found.map(({ probability }) => probability)];
}

describe('what can be drawn', () => {
  test.each<[string, SamplingOptions, number[], number[]]>([
    ['the softmax', {}, [2, 0, 3, 1], [0.5, 0.25, 0.15, 0.1]],
    // p^(1/T): 0.25, 0.0625, 0.0225, 0.01 over their sum 0.345
    ['temperature 1/2', { temperature: 0.5 }, [2, 0, 3, 1], [0.724638, 0.181159, 0.065217, 0.028986]],
    ['the two likeliest', { topK: 2 }, [2, 0], [2 / 3, 1 / 3]],
    ['more than there are', { topK: 9 }, [2, 0, 3, 1], [0.5, 0.25, 0.15, 0.1]],
    ['0.5 and 0.25 are enough for 0.7', { topP: 0.7 }, [2, 0], [2 / 3, 1 / 3]],
    ['and not for 0.8', { topP: 0.8 }, [2, 0, 3], [0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9]],
    ['the likeliest always stays', { topP: 1e-9 }, [2], [1]],
    // Of the three, 0.5 and 0.25 have 0.833 of the probability; of all four they would have 0.75.
    ['top-p of what top-k left', { topK: 3, topP: 0.8 }, [2, 0], [2 / 3, 1 / 3]],
    // At temperature 1/2 the likeliest has 0.72.
    ['top-p after temperature', { temperature: 0.5, topP: 0.7 }, [2], [1]],
  ])('%s', (_, options, tokens, probabilities) => {
    const [found, weights] = distribution(options);
    expect(found).toEqual(tokens);
    expectClose(weights, probabilities, { atol: F32 });
  });

  test('equal logits: by token, and top-k keeps what equals the k-th', () => {
    const [tokens, weights] = distribution({ topK: 2 }, Float32Array.of(1, 3, 2, 2, 2));
    expect(tokens).toEqual([1, 2, 3, 4]);
    expectClose(
      weights,
      [Math.E, 1, 1, 1].map((w) => w / (Math.E + 3)),
      { atol: F32 },
    );
  });

  test('large logits do not overflow', () => {
    expect(distribution({}, Float32Array.of(-3e38, 3e38))).toEqual([[1], [1]]);
  });

  test.each<SamplingOptions>([
    { temperature: 0 },
    { temperature: -1 },
    { temperature: Number.POSITIVE_INFINITY },
    { temperature: Number.NaN },
    { topK: 0 },
    { topK: 1.5 },
    { topK: Number.NaN },
    { temperature: Number.NaN },
    { topP: 0 },
    { topP: 1.1 },
  ])('%o is refused', (options) => {
    expect(() => candidates(LOGITS, options)).toThrow(expect.objectContaining({ code: 'usage' }));
    expect(() => sampler({ ...options, seed: 1 })).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});

test.each([
  [[0, Number.NaN, 2], /the logit of token 1 is NaN/],
  [[0, 1, Number.POSITIVE_INFINITY], /the logit of token 2 is Infinity/],
  [[Number.NEGATIVE_INFINITY], /no logit is above −∞/],
  [[], /no logit is above −∞/],
])('logits %o are refused', (logits, message) => {
  expect(() => tokenAt(Float32Array.from(logits), 0)).toThrow(
    expect.objectContaining({ code: 'not-finite', message: expect.stringMatching(message) }),
  );
});

test('a logit of −∞ is never drawn', () => {
  expect(candidates(Float32Array.of(Number.NEGATIVE_INFINITY, 1))).toEqual([{ token: 1, probability: 1 }]);
});

test.each([
  [0, 2],
  [0.4999, 2],
  [0.5001, 0],
  [0.7499, 0],
  [0.7501, 3],
  [0.9001, 1],
  [1 - 2 ** -53, 1],
])('point %d of the distribution is token %d', (point, token) => {
  expect(tokenAt(LOGITS, point)).toBe(token);
});

describe('sampler', () => {
  const draw = (seed: number | string, sequence: number, count: number) => {
    const sample = sampler({ seed });
    return Array.from({ length: count }, () => sample(LOGITS, sequence));
  };

  test('the same seed draws the same, another seed and another sequence something else', () => {
    expect(draw(7, 0, 50)).toEqual(draw(7, 0, 50));
    expect(draw('7', 0, 50)).toEqual(draw(7, 0, 50));
    expect(draw(8, 0, 50)).not.toEqual(draw(7, 0, 50));
    expect(draw(7, 1, 50)).not.toEqual(draw(7, 0, 50));
  });

  test('what a sequence draws does not depend on the others', () => {
    const sample = sampler({ seed: 7 });
    const mixed = Array.from({ length: 50 }, () => [0, 1, 2].map((sequence) => sample(LOGITS, sequence)));
    expect(mixed.map(([, second]) => second)).toEqual(draw(7, 1, 50));
  });

  test('draws tokens with their probabilities', () => {
    const counts = [0, 0, 0, 0];
    const n = 20_000;
    for (const token of draw(1, 0, n)) counts[token] = (counts[token] ?? 0) + 1;
    // Four standard deviations of a share; the seed is fixed, so it fails always or never.
    expectClose(
      counts.map((count) => count / n),
      PROBABILITIES,
      { atol: PROBABILITIES.map((p) => 4 * Math.sqrt((p * (1 - p)) / n)) },
    );
  });
});
