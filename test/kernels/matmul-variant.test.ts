import { describe, expect, it } from 'vitest';
import {
  canRun,
  chooseMatmul,
  type MatmulVariant,
  shapeClass,
  tuningTasks,
} from '../../src/kernels/index.ts';

const TYPES = ['f32', 'f16', 'bf16'] as const;
/** Rows of A around the borders between shape classes. */
const ROWS = [1, 2, 4, 5, 12, 13, 64, 65, 577, 100_000];

const DEVICES = [
  { name: 'SwiftShader', software: true, subgroupSize: 4 },
  { name: 'lavapipe', software: true, subgroupSize: 8 },
  { name: 'software without subgroups', software: true, subgroupSize: 0 },
  { name: 'software with wide subgroups', software: true, subgroupSize: 16 },
  { name: 'a GPU', software: false, subgroupSize: 32 },
  { name: 'a GPU whose subgroups vary', software: false, subgroupSize: 0 },
];

describe('chooseMatmul', () => {
  it.each(DEVICES)('$name: every shape and type gets a variant that its device can run', (device) => {
    for (const m of ROWS)
      for (const n of [1, 768, 30_524])
        for (const type of TYPES) {
          const variant = chooseMatmul(device, m, n, type);
          expect(canRun(device, variant), `[${m}, ${n}], ${type}: ${JSON.stringify(variant)}`).toBe(true);
        }
  });

  it('uses subgroups where they were measured to pay: on software adapters with 4 or 8 lanes', () => {
    const kernels = DEVICES.map((device) => chooseMatmul(device, 577, 768, 'f32').kernel);
    expect(kernels).toEqual([
      'matmul_subgroup',
      'matmul_subgroup',
      'matmul_portable',
      'matmul_portable',
      'matmul_tile',
      'matmul_tile',
    ]);
  });

  it.each([
    [5, 8],
    [12, 12],
    [13, 16],
    [24, 12],
    [40, 8],
    [64, 16],
    [577, 12],
  ])(
    'on software, %i rows get tiles of %i: of the heights the one that computes fewest rows in vain',
    (m, rows) => {
      for (const subgroupSize of [4, 8])
        expect(chooseMatmul({ software: true, subgroupSize }, m, 768, 'f32').rows).toBe(rows);
    },
  );

  it('takes tiles of 64 × 128 only where the device has the memory for them', () => {
    const device = { software: false, subgroupSize: 32 };
    const memory = (bytes: number) => ({ ...device, limits: limits(bytes) });
    const columns = (bytes: number) => chooseMatmul(memory(bytes), 4096, 4096, 'f32').columns;
    expect(columns(12 * 1024)).toBe(4);
    expect(columns(16 * 1024)).toBe(8);
  });

  it('takes what was measured on the device, and only there', () => {
    const [swiftShader, , , , w] = DEVICES as [(typeof DEVICES)[0], ...typeof DEVICES];
    const measured: MatmulVariant = { kernel: 'matmul_subgroup', rows: 16, columns: 3, threads: 4 };
    const tuning = { 'software-4 matmul tall f32': measured };
    expect(chooseMatmul({ ...swiftShader, tuning }, 577, 768, 'f32')).toBe(measured);
    expect(chooseMatmul({ ...swiftShader, tuning }, 577, 768, 'f16')).not.toBe(measured);
    expect(chooseMatmul({ ...swiftShader, tuning }, 1, 768, 'f32')).not.toBe(measured);
    expect(chooseMatmul({ ...w!, tuning }, 577, 768, 'f32').kernel).toBe('matmul_tile');
  });
});

it('tuning tries the default and others of every shape class, all of which the device can run', () => {
  for (const device of DEVICES) {
    const tasks = tuningTasks(device);
    expect(new Set(tasks.map(({ key }) => key)).size).toBe(15); // five classes, three types
    for (const { m, n, type, candidates } of tasks) {
      expect(candidates[0]).toEqual(chooseMatmul(device, m, n, type));
      expect(candidates.length).toBeGreaterThan(1);
      for (const variant of candidates) expect(canRun(device, variant), JSON.stringify(variant)).toBe(true);
    }
  }
});

it.each([
  [1, 30_524, 'row'],
  [2, 768, 'few'],
  [4, 768, 'few'],
  [5, 768, 'skinny'],
  [64, 3072, 'skinny'],
  [65, 768, 'tall'],
  [577, 768, 'tall'],
  [2308, 3072, 'large'],
])('[%i, %i] is %s', (m, n, expected) => {
  expect(shapeClass(m, n)).toBe(expected);
});

function limits(maxComputeWorkgroupStorageSize: number) {
  return {
    maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup: 256,
    maxBufferSize: 2 ** 30,
    maxStorageBufferBindingSize: 2 ** 30,
    maxComputeWorkgroupsPerDimension: 65535,
    maxStorageBuffersPerShaderStage: 8,
    maxImmediateSize: 0,
  };
}
