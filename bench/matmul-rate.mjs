// How long something takes beside what its operations take at the rate of matrix products in the same minutes.
import { measureMatmulRate } from '../dist/kernels/index.js';
import { stopwatch } from './measure.mjs';

/** Times something between two measurements of the matmul rate. */
export async function besideMatmulRate(gpu, run) {
  const before = await measureMatmulRate(gpu);
  const { wall, cpu, result } = await stopwatch(run);
  const after = await measureMatmulRate(gpu);
  return { result, seconds: wall / 1000, cpuSeconds: cpu / 1000, before, after, rate: (before + after) / 2 };
}

/** @param measured what {@link besideMatmulRate} gave */
export function overIdeal({ seconds, cpuSeconds, before, after, rate }, flops) {
  const ratio = (seconds * rate) / flops;
  return { seconds, cpuSeconds, flops, rates: { before, after }, matmulFlops: rate, overIdeal: ratio };
}

/** @param figures what {@link overIdeal} gave */
export function timeLine({ seconds, cpuSeconds, flops, rates, matmulFlops, overIdeal: ratio }) {
  return (
    `${seconds.toFixed(1)} s (${cpuSeconds.toFixed(0)} s of processor time), ${(flops / 1e12).toPrecision(3)} TFLOP, ${gigaflops(flops / seconds)} GFLOP/s: ` +
    `${ratio.toFixed(2)} times what they take at ${gigaflops(matmulFlops)} GFLOP/s ` +
    `(matmul 577 × 768 × 768 before ${gigaflops(rates.before)}, after ${gigaflops(rates.after)})`
  );
}

const gigaflops = (rate) => (rate / 1e9).toPrecision(3);
