// Choices that were measured on an adapter, in place of the defaults. They change how long a kernel takes and not one
// bit of what it computes.

import { NoticeError } from '../errors.ts';
import type { TuningTable } from '../gpu/index.ts';
import { type DeviceClass, deviceClass } from './device-class.ts';
import {
  canRun,
  chooseMatmul,
  type LaneVariant,
  type MatmulDevice,
  type MatmulVariant,
  matmulKey,
  portable,
  type RowVariant,
  row,
  SHAPE_CLASSES,
  type ShapeClass,
  subgroup,
  type TileVariant,
  tile,
} from './matmul-variant.ts';
import type { ElementType } from './weight.ts';

const FIELDS = {
  matmul_subgroup: ['rows', 'columns', 'threads'],
  matmul_portable: ['rows', 'columns', 'threads'],
  matmul_tile: ['rows', 'columns', 'down', 'across', 'threads', 'quads'],
  matmul_row: ['rows', 'columns', 'lanes', 'threads', 'quads'],
} as const satisfies Record<
  MatmulVariant['kernel'],
  readonly (keyof LaneVariant | keyof TileVariant | keyof RowVariant)[]
>;

/**
 * A tuning table as it is stored.
 *
 * @param source where it comes from, for messages
 * @throws NoticeError('config') naming the entry that is no variant
 */
export function parseTuning(json: unknown, source: string): TuningTable {
  const cure = 'Delete the file, or measure again with `notice bench --tune`.';
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new NoticeError('config', `${source}: not a tuning table. ${cure}`);
  for (const [key, entry] of Object.entries(json)) {
    const variant = entry as Record<string, unknown> | null;
    const fields: readonly string[] | undefined = FIELDS[variant?.kernel as MatmulVariant['kernel']];
    if (!fields?.every((field) => Number.isInteger(variant?.[field]) && Number(variant?.[field]) > 0))
      throw new NoticeError('config', `${source}: "${key}" is ${JSON.stringify(entry)}. ${cure}`);
  }
  return json as TuningTable;
}

/** What is measured for one key of a tuning table. */
export interface TuningTask {
  readonly key: string;
  /** A product [m, k] × [n, k] that stands for the class. */
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly type: ElementType;
  /** The default first. */
  readonly candidates: readonly MatmulVariant[];
}

/** [m, n, k] that stand for the classes: layers of BLIP-VQA-base, of the LLaMA in LLaVA-1.5, and smaller ones for software. */
const SHAPES: Readonly<
  Record<'software' | 'gpu', Readonly<Record<ShapeClass, readonly [number, number, number]>>>
> = {
  software: {
    row: [1, 3072, 768],
    few: [4, 1536, 768],
    skinny: [24, 768, 768],
    tall: [96, 768, 768],
    large: [96, 768, 768],
  },
  gpu: {
    row: [1, 4096, 4096],
    few: [4, 4096, 4096],
    skinny: [32, 3072, 768],
    tall: [577, 768, 768],
    large: [2308, 3072, 768],
  },
};

const CANDIDATES: Readonly<Record<DeviceClass, Readonly<Record<ShapeClass, readonly MatmulVariant[]>>>> = {
  'software-4': lanes((rows, columns) => subgroup(4, rows, columns)),
  'software-8': lanes((rows, columns) => subgroup(8, rows, columns)),
  software: lanes(portable),
  gpu: {
    row: [
      ...[2, 4, 8].flatMap((n) => [4, 8].map((quads) => row(n, 32, quads))),
      row(8, 16, 8),
      ...[8, 16, 32].map((n) => tile([1, 1], [n, 1], 64, 32)),
    ],
    few: [8, 16, 32].flatMap((n) => [16, 32].map((quads) => tile([4, 1], [n, 1], 128, quads))),
    skinny: [
      tile([16, 1], [16, 1], 256, 16),
      tile([8, 2], [16, 2], 128, 8),
      tile([8, 4], [16, 2], 128, 8),
      tile([16, 2], [16, 2], 256, 4),
    ],
    tall: [
      tile([16, 4], [16, 4], 256, 8),
      tile([8, 8], [8, 8], 64, 4),
      tile([8, 4], [16, 4], 128, 4),
      tile([16, 2], [16, 4], 256, 8),
    ],
    large: [
      tile([16, 4], [16, 4], 256, 4),
      tile([16, 8], [16, 8], 256, 4),
      tile([16, 8], [8, 8], 128, 4),
      tile([16, 8], [16, 8], 256, 2),
    ],
  },
};

function lanes(
  variant: (rows: number, columns: number) => MatmulVariant,
): Record<ShapeClass, MatmulVariant[]> {
  const few = [2, 3, 4, 6].map((columns) => variant(4, columns));
  const many = [8, 12, 16].flatMap((rows) => [3, 4, 5].map((columns) => variant(rows, columns)));
  const row = [1, 2, 4, 8].map((columns) => variant(1, columns));
  return { row, few, skinny: many, tall: many, large: many };
}

/** Everything that can be tuned on a device. */
export function tuningTasks(device: MatmulDevice): TuningTask[] {
  const untuned = { ...device, tuning: {} };
  return SHAPE_CLASSES.flatMap((shape) => {
    const [m, n, k] = SHAPES[device.software ? 'software' : 'gpu'][shape];
    return (['f32', 'f16', 'bf16'] as const).map((type) => {
      const usual = chooseMatmul(untuned, m, n, type);
      const others = CANDIDATES[deviceClass(device)][shape].filter(
        (variant) => canRun(device, variant) && JSON.stringify(variant) !== JSON.stringify(usual),
      );
      return { key: matmulKey(device, shape, type), m, n, k, type, candidates: [usual, ...others] };
    });
  });
}
