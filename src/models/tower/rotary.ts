import type { Gpu } from '../../gpu/index.ts';
import { rotaryTable } from '../../kernels/index.ts';
import type { TowerConfig } from './config.ts';

const USAGE = 0x80 | 0x08; // GPUBufferUsage.STORAGE | COPY_DST; the global is absent in Node

/**
 * (cos, sin) of every position id for a walk's rotary embedding, in a buffer that stays until it is destroyed.
 *
 * @param positions position ids that there are
 */
export async function rotaryAngles(
  gpu: Gpu,
  { name, headSize, rotary }: TowerConfig,
  positions: number,
): Promise<GPUBuffer> {
  if (!rotary) throw new Error(`${name} has no rotary embedding`);
  const table = rotaryTable(positions, headSize, rotary.theta);
  const buffer = await gpu.createBuffer(table.byteLength, USAGE, `${name} rotary angles`);
  gpu.device.queue.writeBuffer(buffer, 0, table);
  return buffer;
}
