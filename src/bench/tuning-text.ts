// Figures of kernels as lines and as a block that people paste into an issue.

import { markdownTable } from 'markdown-table';
import { type TuningResult, variantName } from './tune.ts';

/** A line of `notice bench --tune`. */
export function tuningLine({ key, times, chosen, matrices }: TuningResult): string {
  const usual = times[0] as TuningResult['chosen'];
  const best = times.reduce((a, b) => (b.ms < a.ms ? b : a));
  const wins = chosen.variant !== usual.variant;
  return (
    `${key.padEnd(32)} ${usual.ms.toFixed(3)} ms by default, best ${best.ms.toFixed(3)} ms: ` +
    `${variantName(chosen.variant)}${wins ? '' : ' (the default)'}` +
    `${matrices ? `; matrix units ${matrices.ms.toFixed(3)} ms, ${(chosen.ms / matrices.ms).toFixed(2)} times as fast` : ''}`
  );
}

/**
 * Markdown for an issue of the project: bench/RESULTS.md collects such tables.
 *
 * @param machine what the figures depend on, as name and value
 */
export function tuningBlock(
  machine: readonly (readonly [name: string, value: string])[],
  results: readonly TuningResult[],
): string {
  const withMatrices = results.some(({ matrices }) => matrices);
  const rate = ({ m, n, k }: TuningResult, ms: number) => ((2e-6 * m * n * k) / ms).toPrecision(3);
  const rows = results.map((result) => {
    const { key, m, n, k, times, chosen, matrices } = result;
    const usual = times[0] as TuningResult['chosen'];
    return [
      key,
      `${m} × ${k} × ${n}`,
      `${usual.ms.toFixed(3)}`,
      rate(result, usual.ms),
      chosen.variant === usual.variant ? 'the default' : variantName(chosen.variant),
      `${chosen.ms.toFixed(3)}`,
      rate(result, chosen.ms),
      ...(withMatrices
        ? matrices
          ? [matrices.ms.toFixed(3), (chosen.ms / matrices.ms).toFixed(2), matrices.error.toExponential(1)]
          : ['', '', '']
        : []),
    ];
  });
  const head = ['choice', 'm × k × n', 'default, ms', 'GFLOP/s', 'fastest', 'ms', 'GFLOP/s'];
  if (withMatrices) head.push('matrix units, ms', 'times as fast', 'error of max');
  return [
    ...machine.map(([name, value]) => `- ${name}: ${value}`),
    '',
    markdownTable([head, ...rows]),
    ...(withMatrices ? ['', gainOfMatrices(results)] : []),
    '',
  ].join('\n');
}

/** What opening the device with subgroup matrices would gain, in a sentence. */
export function gainOfMatrices(results: readonly TuningResult[]): string {
  const gains = results.flatMap(({ key, chosen, matrices }) =>
    matrices ? [{ key, gain: chosen.ms / matrices.ms }] : [],
  );
  const faster = gains.filter(({ gain }) => gain > 1).sort((a, b) => b.gain - a.gain);
  const [most] = faster;
  if (!most) return 'No product is faster on matrix units (--subgroup-matrices).';
  return (
    `With --subgroup-matrices ${faster.length} of ${gains.length} products are faster, at most ${most.gain.toFixed(2)} times ` +
    `(${most.key}); they have other bits, and inputs beyond 65504 give NaN.`
  );
}
