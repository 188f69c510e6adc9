// What the logit lens shows, as plain functions of what the worker read.

import type { LensReading } from '../protocol/reading.ts';
import type { MapTable } from './map-table.ts';

/** What cells are coloured by: the probability of their likeliest token, or the rank of the chosen one. */
export type LensColor = 'probability' | 'rank';

/** A cell of the lens: a layer (by its place in the list) and a position (likewise). */
export interface LensCell {
  /** Most probable tokens, the likeliest first. */
  readonly top: readonly { readonly text: string; readonly p: number }[];
  /** Of the chosen token; 0 is the most probable. */
  readonly rank: number;
  readonly tokenProbability: number;
  readonly norm: number;
}

export function lensCell({ lens, texts }: LensReading, layer: number, position: number): LensCell {
  const cell = layer * lens.positions.length + position;
  return {
    top: Array.from({ length: lens.topK }, (_, k) => {
      const at = cell * lens.topK + k;
      return { text: texts.get(lens.ids[at] as number) ?? '', p: lens.probabilities[at] as number };
    }),
    rank: lens.ranks[cell * lens.tokens.length] as number,
    tokenProbability: lens.tokenProbabilities[cell * lens.tokens.length] as number,
    norm: lens.norms[cell] as number,
  };
}

/** Orders of magnitude: ranks differ where they are small, 0 and 10 more than 20 000 and 20 010. */
export function rankShade(rank: number, largest: number): number {
  return 1 - Math.log1p(rank) / Math.log1p(Math.max(largest, 1));
}

/** How far from its layer's median a norm is that counts as an outlier, in median absolute deviations. */
const OUTLYING = 6;
/** And how much larger than the median at least: where all are nearly alike, a deviation says nothing. */
const TIMES = 2;

/**
 * Positions whose norm stands out in a layer: first tokens and registers, whose stream is no prediction (Sun et al. 2024, Darcet
 * et al. 2024).
 *
 * @returns for each position of the lens whether it does
 */
export function outlyingNorms({ lens }: LensReading, layer: number): boolean[] {
  const count = lens.positions.length;
  const norms = [...lens.norms.subarray(layer * count, (layer + 1) * count)];
  const middle = medianOf(norms);
  const deviation = medianOf(norms.map((norm) => Math.abs(norm - middle)));
  return norms.map((norm) => count > 2 && norm > TIMES * middle && norm - middle > OUTLYING * deviation);
}

function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? 0) + (sorted[sorted.length >> 1] ?? 0)) / 2;
}

/** One row per layer, position and place among the most probable. */
export function lensTable(reading: LensReading): MapTable {
  const { lens, texts, token } = reading;
  const words = new Map(reading.tokens.map(({ position, text }) => [position, text]));
  return {
    columns: {
      layer: 'integer',
      position: 'integer',
      at: 'text',
      place: 'integer',
      token: 'text',
      p: 'float',
      chosen: 'text',
      chosen_rank: 'integer',
      chosen_p: 'float',
      norm: 'float',
    },
    rows: lens.layers.flatMap((layer, l) =>
      lens.positions.flatMap((position, i) => {
        const { top, rank, tokenProbability, norm } = lensCell(reading, l, i);
        return top.map(({ text, p }, place) => ({
          layer,
          position,
          at: words.get(position) ?? '',
          place,
          token: text,
          p,
          chosen: texts.get(token) ?? '',
          chosen_rank: rank,
          chosen_p: tokenProbability,
          norm,
        }));
      }),
    ),
  };
}
