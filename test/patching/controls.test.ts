// Every self-check of a sweep can fail: faults are put into kernels and into the tower, and the check that is meant for
// each must find it.

import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Edit } from '../../src/kernels/index.ts';
import type { VisionLanguageModel } from '../../src/models/index.ts';
import {
  logProbability,
  type SweepJob,
  type SweepOptions,
  type SweepSite,
  sweep,
} from '../../src/patching/index.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { caseJob, expectNoticeError, withoutLeak } from './support.ts';

type Kernels = typeof import('../../src/kernels/index.ts');
type Attend = typeof import('../../src/models/tower/attend.ts');

/** What is wrong in the test that runs. */
const fault: {
  edits?: (edits: readonly Edit[], op: string) => readonly Edit[];
  op?: (op: string) => string;
  matmul?: (...args: Parameters<Kernels['matmul']>) => Parameters<Kernels['matmul']>;
  attention?: (run: Parameters<Attend['attendance']>[0][number]) => readonly number[];
} = vi.hoisted(() => ({}));

vi.mock('../../src/kernels/index.ts', async (original) => {
  const kernels = await original<Kernels>();
  const intervene: Kernels['intervene'] = (gpu, x, op, edits, ...rest) =>
    kernels.intervene(
      gpu,
      x,
      (fault.op?.(op) ?? op) as typeof op,
      fault.edits?.(edits, op) ?? edits,
      ...rest,
    );
  const matmul: Kernels['matmul'] = (...args) => kernels.matmul(...(fault.matmul?.(...args) ?? args));
  return { ...kernels, intervene, matmul };
});

vi.mock('../../src/models/tower/attend.ts', async (original) => {
  const attend = await original<Attend>();
  const attendance: Attend['attendance'] = (runs, ...rest) =>
    attend.attendance(
      runs.map((run) => ({ ...run, positions: fault.attention?.(run) ?? run.positions })),
      ...rest,
    );
  return { ...attend, attendance };
});

afterEach(() => {
  for (const key of Object.keys(fault)) delete fault[key as keyof typeof fault];
});

let golden: Golden;
let model: VisionLanguageModel;
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
});

const Z: SweepSite = { site: 'text_encoder.attn.hook_z', positions: [1, [2, 3], 7] };
const MLP: SweepSite = { site: 'text_encoder.hook_mlp_out', positions: [1, 5] };

const job = (...sites: SweepSite[]): SweepJob => caseJob(golden, 'case0', sites);

async function fails(
  code: 'control' | 'unfired',
  message: RegExp,
  options: SweepOptions = {},
  sites = [Z, MLP],
) {
  await withoutLeak(model.gpu, () =>
    expectNoticeError(() => sweep(model, [job(...sites)], options), code, message),
  );
}

test('without a fault all pass', async () => {
  const [result] = await sweep(model, [job(Z, MLP)], { repeat: 5 });
  expect(result?.controls).toMatchObject({ nullPatches: 2, fullRestoration: true });
  // One unit in the last place of the embeddings moves the answer a little, and by rounding only.
  expect(result?.controls?.noiseFloor).toBeGreaterThan(0);
  expect(result?.controls?.noiseFloor).toBeLessThan(1e-5);
  // Each has its own unit: dP = P · (1 − P) · dLD between two answers, at most a quarter.
  expect(result?.controls?.noiseFloorP).toBeGreaterThan(0);
  expect(result?.controls?.noiseFloorP).toBeLessThan(1e-6);
  const [none] = await sweep(model, [job(Z, MLP)], { controls: false });
  expect(none?.controls).toBeUndefined();
});

describe('unfired', () => {
  test('an edit that is lost', async () => {
    fault.edits = (edits) => edits.slice(1);
    await fails('unfired', /"replace" on .* wrote 0 elements instead of 40/);
  });

  test('an edit of too few columns', async () => {
    fault.edits = (edits) =>
      edits.map((edit, i) => (i === 0 ? { ...edit, columns: edit.columns - 1 } : edit));
    await fails('unfired', /wrote 39 elements instead of 40/);
  });

  test('an edit made twice, one by one too', async () => {
    fault.edits = (edits) => [...edits, ...edits.slice(-1)];
    await fails('unfired', /instead of 40/);
    await fails('unfired', /wrote 80 elements instead of 40/, { mode: 'one-by-one' });
  });
});

describe('null patches', () => {
  test('a replacement that adds', async () => {
    fault.op = (op) => (op === 'replace' ? 'add' : op);
    await fails(
      'control',
      /pair 0: a null patch at .*hook_z changed the logit difference by -?\d.* instead of 0/,
    );
  });

  test('sources off by a row', async () => {
    fault.edits = (edits, op) => edits.map((e) => (op === 'replace' ? { ...e, source: e.source + 1 } : e));
    await fails('control', /a null patch/);
  });

  test('columns off by one', async () => {
    fault.edits = (edits, op) =>
      edits.map((e) =>
        op === 'replace' && e.firstColumn > 0 ? { ...e, firstColumn: e.firstColumn - 1 } : e,
      );
    // The source goes along with its column, so a null patch by head cannot see it; one by one does not either.
    await sweep(model, [job({ ...Z, heads: true })], { repeat: 0 });
    fault.edits = (edits, op) =>
      edits.map((e) => (op === 'replace' ? { ...e, row: e.row - 1, source: e.source } : e));
    await fails('control', /a null patch|full restoration/);
  });
});

describe('full restoration', () => {
  test('one position of it forgotten', async () => {
    // Only the restoration replaces all ten positions together.
    fault.edits = (edits) =>
      edits.length === 10 ? edits.map((e, i) => (i === 9 ? { ...(edits[8] as Edit) } : e)) : edits;
    await fails('control', /full restoration gives logit \S+ for token 0, the clean run \S+/);
  });
});

describe('repeated cells', () => {
  const REPEATED = /the patch at .*, position .*, gives \w+ = \S+ in the sweep and \S+ by itself/;

  test.each([
    ['the four numbers', {}, REPEATED],
    ['a metric', { metric: logProbability(3) }, /gives patched = \S+ in the sweep and \S+ by itself/],
  ])('rows that depend on how many there are, by %s', async (_, options, message) => {
    // Large products lose their bias: clean, corrupt, null and restored run alike.
    fault.matmul = (gpu, a, weight, options) => [
      gpu,
      a,
      weight,
      a.rows > 60 && options?.activation === 'gelu' ? { ...options, bias: undefined } : options,
    ];
    await fails('control', message, options);
  });

  /** Positions of the question that see a patched one are left as they were. */
  const confined: typeof fault.attention = ({ run, positions }) =>
    run.base && run.length === 10 ? positions.filter((p) => run.owns(p)) : positions;

  test('a patch that does not spread', async () => {
    fault.attention = confined;
    await fails('control', REPEATED);
    // So it is these that find it.
    await sweep(model, [job(Z, MLP)], { repeat: 0 });
    await sweep(model, [job(Z, MLP)], { controls: false });
  });

  test.each([
    [undefined, 3],
    [0, 0],
    [1, 1],
    [4, 4],
    [15, 15],
    [99, 15],
  ])('%s of 15 asked for: %i', async (repeat, walks) => {
    const forward = vi.spyOn(model, 'forward');
    await sweep(model, [job(Z, MLP)], repeat === undefined ? {} : { repeat });
    const whole = forward.mock.calls.filter(([, runs]) => runs.every(({ base }) => !base));
    forward.mockRestore();
    expect(whole).toHaveLength(walks);
  });
});
