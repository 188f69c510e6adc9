import type { Gpu } from '../gpu/index.ts';
import { matmul } from './matmul.ts';

/** Positions of an image and width of BLIP-VQA-base: a product of the size that towers mostly compute. */
const ROWS = 577;
const WIDTH = 768;
/** Products that are timed, each the median of a chain of dispatches; the first is not counted. */
const RUNS = 5;

/**
 * What this adapter reaches in matrix products of many rows, in floating-point operations per second: what a plan's
 * operations become a time with. Takes about a second on a software adapter.
 */
export function measureMatmulRate(gpu: Gpu): Promise<number> {
  // A GPU's submission should not be what is timed.
  const chain = gpu.capabilities.software ? 1 : 100;
  const values = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i));
  return gpu.work(async (w) => {
    const a = w.upload(values(ROWS * WIDTH), ROWS, WIDTH, 'rate: a');
    const buffer = w.uploadWords(values(WIDTH * WIDTH), 'rate: w');
    const out = w.empty(ROWS, WIDTH, 'rate: out');
    const weight = {
      name: 'rate',
      type: 'f32',
      rows: WIDTH,
      columns: WIDTH,
      stride: WIDTH,
      parts: [{ buffer, firstRow: 0, rows: WIDTH }],
    } as const;
    const times: number[] = [];
    for (let run = 0; run <= RUNS; run++) {
      const start = performance.now();
      for (let i = 0; i < chain; i++) matmul(w, a, weight, { out });
      await w.finish();
      if (run > 0) times.push((performance.now() - start) / chain);
    }
    const median = times.sort((x, y) => x - y)[RUNS >> 1] as number;
    return (1000 * 2 * ROWS * WIDTH * WIDTH) / median;
  });
}
