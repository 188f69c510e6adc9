// A sweep's plan as text.

import type { SweepPlan } from '../patching/index.ts';

/** Rows below which a matrix product does not reach the rate of one with many. */
const FEW_ROWS = 64;

/** @param flopsPerSecond measured rate of matrix products of many rows, for a time */
export function formatPlan(plan: SweepPlan, flopsPerSecond?: number): string {
  const {
    cells,
    walks,
    layers,
    flops,
    oneByOneFlops,
    oneByOneSharedFlops,
    dispatches,
    peakBytes,
    weightBytes,
  } = plan;
  const width = Math.max(...layers.map(({ tower }) => tower.length));
  const rows = layers.map(
    ({ tower, layer, rows: own, oneByOneRows }) =>
      `  ${tower.padEnd(width)}  block ${String(layer).padStart(2)}  ${String(own).padStart(9)} rows   ` +
      `(one by one ${oneByOneRows})`,
  );
  const time = flopsPerSecond
    ? `, about ${duration(flops / flopsPerSecond)} at ${amount(flopsPerSecond)}FLOP/s`
    : '';
  const few = layers.filter(({ rows: own }) => own < FEW_ROWS).length;
  const caution =
    flopsPerSecond && 2 * few > layers.length
      ? [
          `             a rough estimate: most blocks have fewer than ${FEW_ROWS} rows, whose products are slower`,
        ]
      : [];
  return [
    `${cells} patches in ${walks} walk${walks === 1 ? '' : 's'}, ${dispatches} dispatches`,
    ...rows,
    `wavefront    ${amount(flops)}FLOP${time}`,
    ...caution,
    `one by one   ${amount(oneByOneFlops)}FLOP, ${(oneByOneFlops / flops).toFixed(1)} times as much`,
    `  with image features computed once ${amount(oneByOneSharedFlops)}FLOP, ${(oneByOneSharedFlops / flops).toFixed(1)} times`,
    `GPU memory   ${bytes(peakBytes)} of activations at most, ${bytes(weightBytes)} of weights`,
  ].join('\n');
}

/** A number with a decimal prefix: 1.8 T, 52 G. */
export function amount(value: number): string {
  const prefixes = ['', 'k', 'M', 'G', 'T', 'P', 'E'];
  const step = Math.max(0, Math.min(prefixes.length - 1, Math.floor(Math.log10(Math.max(value, 1)) / 3)));
  return `${(value / 1000 ** step).toPrecision(3)} ${prefixes[step]}`;
}

export function bytes(value: number): string {
  return value >= 1024 ** 3
    ? `${(value / 1024 ** 3).toFixed(2)} GiB`
    : `${(value / 1024 ** 2).toFixed(1)} MiB`;
}

export function duration(seconds: number): string {
  if (seconds < 90) return `${seconds.toPrecision(2)} s`;
  if (seconds < 5400) return `${(seconds / 60).toFixed(1)} min`;
  if (seconds < 172_800) return `${(seconds / 3600).toFixed(1)} h`;
  const days = seconds / 86_400;
  return days < 730 ? `${days.toFixed(0)} days` : `${(days / 365.25).toFixed(0)} years`;
}
