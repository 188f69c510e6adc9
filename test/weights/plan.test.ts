import { expect, test } from 'vitest';
import { OutOfMemoryError } from '../../src/gpu/index.ts';
import { doesNotFit } from '../../src/weights/plan.ts';

test('what does not fit is refused with numbers, and smaller types are named as a cure', () => {
  const plan = { buffers: [], bytes: 3 * 2 ** 30, largest: { name: 'head', bytes: 2 ** 26 }, limit: 2 ** 27 };
  const others = [
    { type: 'f16', bytes: 3 * 2 ** 30 },
    { type: 'int8', bytes: 2 ** 30 },
    { type: 'nf4', bytes: 2 ** 27 - 1 },
  ];
  const error = doesNotFit('the weights', plan, 2 ** 31, others);
  expect(error.message).toBe(
    'the weights take 3.00 GiB, the largest buffer 0.0625 GiB (head); 2.00 GiB are available. ' +
      'They would take 1.00 GiB as int8, 0.1250 GiB as nf4.',
  );
  expect(doesNotFit('the weights', plan, 2 ** 31, []).message).toMatch(/2\.00 GiB are available\.$/);
  const refusal = new OutOfMemoryError(16, 'no room for "head"');
  const refused = doesNotFit('the weights', plan, refusal, others);
  expect(refused.message).toMatch(
    /0\.0625 GiB \(head\); the device has no room for them \(no room for "head"\)\. They/,
  );
  expect(refused.cause).toBe(refusal);
});
