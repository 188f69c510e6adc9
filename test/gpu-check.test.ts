// bench/gpu-check.json says what compilers of AMD and Intel made of the kernels for GPUs. It is of the kernels as they are.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PipelineCache } from '../src/gpu/pipeline.ts';
import * as K from '../src/kernels/index.ts';
import { gpuKernels } from '../tools/gpu-check/gpu-kernels.mjs';

interface Report {
  readonly columns: readonly string[];
  readonly kernels: Readonly<Record<string, readonly [hash: string, usual: 0 | 1, ...figures: number[]]>>;
}

const report = JSON.parse(readFileSync('bench/gpu-check.json', 'utf8')) as Report;
const kernels = gpuKernels(K, PipelineCache);

test('no kernel has changed since the last gpu-check', () => {
  const changed = kernels
    .filter(({ name, hash }) => report.kernels[name]?.[0] !== hash)
    .map(({ name }) => name);
  expect(changed, 'changed since the last `npm run gpu-check` (Debian or Ubuntu, no root): run it').toEqual(
    [],
  );
});

test('the report has no kernels that are no more', () => {
  const names = new Set(kernels.map(({ name }) => name));
  expect(Object.keys(report.kernels).filter((name) => !names.has(name))).toEqual([]);
});

test('no kernel that the library chooses by default spills a register', () => {
  const spills = report.columns.flatMap((column, i) => (column.endsWith(' spills') ? [i] : []));
  expect(spills).toHaveLength(4);
  const spilling = kernels.filter(
    ({ name, usual }) => usual && spills.some((i) => report.kernels[name]?.[i] !== 0),
  );
  expect(spilling.map(({ name }) => name)).toEqual([]);
});
