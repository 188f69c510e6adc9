import type { Capabilities } from '../gpu/index.ts';

/**
 * What kernels can presuppose of a device: software with subgroups of one SIMD register, other software, or a GPU. Part of
 * the keys of a tuning table.
 */
export type DeviceClass = 'software-4' | 'software-8' | 'software' | 'gpu';

export function deviceClass({
  software,
  subgroupSize,
}: Pick<Capabilities, 'software' | 'subgroupSize'>): DeviceClass {
  if (!software) return 'gpu';
  return subgroupSize === 4 || subgroupSize === 8 ? `software-${subgroupSize}` : 'software';
}
