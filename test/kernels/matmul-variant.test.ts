import { describe, expect, it } from 'vitest';
import { chooseMatmul, type MatmulVariant } from '../../src/kernels/index.ts';

const TYPES = ['f32', 'f16', 'bf16'] as const;
/** Rows of A around the borders between tiles. */
const ROWS = [1, 2, 4, 5, 12, 13, 577, 100_000];

const DEVICES = [
  { name: 'SwiftShader', software: true, subgroupSize: 4 },
  { name: 'lavapipe', software: true, subgroupSize: 8 },
  { name: 'software without subgroups', software: true, subgroupSize: 0 },
  { name: 'software with wide subgroups', software: true, subgroupSize: 16 },
  { name: 'a GPU', software: false, subgroupSize: 32 },
  { name: 'a GPU whose subgroups vary', software: false, subgroupSize: 0 },
];

/** What the kernels take for granted of a variant. */
function isUsable({ kernel, rows, columns, threads }: MatmulVariant, subgroupSize: number): boolean {
  const positive = [rows, columns, threads].every((count) => Number.isInteger(count) && count > 0);
  // A workgroup of matmul_subgroup is one subgroup, and its lanes step through k in quads.
  return positive && (kernel === 'matmul_portable' || (threads === subgroupSize && threads % 4 === 0));
}

describe('chooseMatmul', () => {
  it.each(DEVICES)('$name: every shape and type gets a variant that its device can run', (device) => {
    for (const m of ROWS)
      for (const type of TYPES) {
        const variant = chooseMatmul(device, m, type);
        expect(isUsable(variant, device.subgroupSize), `${m} rows, ${type}`).toBe(true);
        // Up to four rows are multiplied one by one: there the weights' loads decide.
        if (m <= 4) expect(variant.rows).toBe(1);
        else expect(variant.rows).toBeGreaterThan(4);
      }
  });

  it('uses subgroups where they were measured to pay: on software adapters with 4 or 8 lanes', () => {
    const kernels = DEVICES.map((device) => chooseMatmul(device, 577, 'f32').kernel);
    expect(kernels).toEqual([
      'matmul_subgroup',
      'matmul_subgroup',
      'matmul_portable',
      'matmul_portable',
      'matmul_portable',
      'matmul_portable',
    ]);
  });
});
