// Single kernels, timed on the adapter at hand; beside others' where the caller has some.

import type { Gpu } from '../gpu/index.ts';
import type { KernelCase, PreparedCase } from './cases.ts';
import { alternate, type Contender, type MeasureOptions, median, type Times } from './measure.ts';
import type { Peak } from './peak.ts';

export interface KernelResult {
  readonly name: string;
  /** Of one dispatch: median and least. */
  readonly ms: number;
  readonly msMin: number;
  /** Of all threads together, where it can be told. */
  readonly cpuMs?: number;
  /** Operations per second, or of a kernel that only moves data bytes per second. */
  readonly flops?: number;
  readonly bytes?: number;
  /** Part of the peak. */
  readonly share: number;
}

export interface KernelOptions extends MeasureOptions {
  readonly peak: Peak;
  /** Other implementations of a case, timed in turns with ours. */
  readonly rivals?: (prepared: PreparedCase) => Promise<readonly Contender[]>;
}

/**
 * Checks a kernel's result, then times it.
 *
 * @returns the figures, and the rivals' times by their names
 * @throws NoticeError('control') for a wrong result
 */
export function measureKernel(
  gpu: Gpu,
  { name, amount, prepare }: KernelCase,
  { peak, rivals, ...options }: KernelOptions,
): Promise<{ readonly result: KernelResult; readonly times: Map<string, Times> }> {
  // Enough dispatches in one submission that a GPU's time is not that of the submission.
  const chain = gpu.capabilities.software ? 1 : 100;
  return gpu.work(
    async (work) => {
      const prepared = prepare(work);
      await prepared.check();
      const kernel: Contender = {
        name: 'kernel',
        run: () => {
          for (let i = 0; i < chain; i++) prepared.run();
          return work.finish();
        },
      };
      const times = await alternate([kernel, ...((await rivals?.(prepared)) ?? [])], options);
      const { wall, cpu } = times.get('kernel') as Times;
      const ms = median(wall) / chain;
      const rate =
        'flops' in amount
          ? { flops: (1000 * amount.flops) / ms, share: (1000 * amount.flops) / ms / peak.flops }
          : { bytes: (1000 * amount.bytes) / ms, share: (1000 * amount.bytes) / ms / peak.bytes };
      const result: KernelResult = {
        name,
        ms,
        msMin: Math.min(...wall) / chain,
        ...(cpu.length > 0 && { cpuMs: median(cpu) / chain }),
        ...rate,
      };
      return { result, times };
    },
    { signal: options.signal },
  );
}

/** A line of the bench's table. */
export function kernelLine({ name, ms, share, ...rate }: KernelResult): string {
  return `${name.padEnd(32)} ${ms.toFixed(3).padStart(10)} ms  ${formatRate(rate).padStart(14)}  ${(100 * share).toFixed(0).padStart(3)} % of peak`;
}

/** GFLOP/s or GB/s with three digits. */
export function formatRate({ flops, bytes }: Pick<KernelResult, 'flops' | 'bytes'>): string {
  return flops === undefined
    ? `${((bytes ?? 0) / 1e9).toPrecision(3)} GB/s`
    : `${(flops / 1e9).toPrecision(3)} GFLOP/s`;
}
