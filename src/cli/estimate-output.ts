// What an attribution estimated, in the form in which sweeps are shown and written.

import type { EstimateResult, SweepResult } from '../patching/index.ts';
import type { SweepTitles } from './sweep-output.ts';

export const ESTIMATE: SweepTitles = {
  title: 'Attribution patching, one pair',
  effect: "estimate of LD' − LD*",
  tensors: 'estimate',
};

/** As a sweep's result: of its four numbers an estimate has the last two, the others are NaN. */
export function asSweep({ sites, ...result }: EstimateResult): SweepResult {
  const { ldClean, ldCorrupt } = result.baseline;
  return {
    ...result,
    sites: sites.map(({ shape, data, ...site }) => {
      const numbers = new Float32Array(2 * data.length).fill(Number.NaN);
      for (let cell = 0; 2 * cell < data.length; cell++) {
        const effect = data[2 * cell + 1] as number;
        numbers.set([effect, effect / (ldClean - ldCorrupt)], 4 * cell + 2);
      }
      return { ...site, shape: [...shape.slice(0, -1), 4], data: numbers };
    }),
  };
}

/** How far the estimates are off, where some cells were measured. */
export function verificationLines({ verification }: EstimateResult): string[] {
  if (!verification) return [];
  const { cells, rankCorrelation, recall, largestError } = verification;
  return [
    `of ${cells.length} patches that were measured: rank correlation ${rankCorrelation?.toFixed(3) ?? 'undefined'}, ` +
      `${Math.round(100 * recall)} % of the largest effects are among the largest estimates, ` +
      `largest error ${largestError.toPrecision(3)}`,
  ];
}
