// What the attention view shows, as plain functions of what the worker read.

import {
  type AttentionMap,
  attentionMapOf,
  type HeadId,
  type SampleAttention,
} from '../../patching/attention-map.ts';
import type { ModelInfo, PairInfo } from '../protocol/session.ts';
import type { MapTable } from './map-table.ts';

/** Attentions that look at the image: the one that reads it for the prompt, and the vision tower's own. */
export function imageAttentions({ imageAttention, towers }: ModelInfo): string[] {
  const vision = towers.some(({ name }) => name === 'vision') ? ['vision.attn'] : [];
  return [...new Set([imageAttention, ...vision])];
}

export function towerNameOf(attention: string): string {
  return attention.slice(0, attention.indexOf('.'));
}

/** Where a head looks from by default: as in the paper, from the correct option, or of a model that continues its prompt from the end. */
export function defaultQueries(
  { answers }: ModelInfo,
  { answerPositions, length }: PairInfo,
): readonly number[] {
  return answers === 'continuation' ? [length - 1] : answerPositions;
}

/** All heads, by block. */
export function headsOf({ blocks, heads }: SampleAttention): HeadId[] {
  return blocks.flatMap((layer) => Array.from({ length: heads }, (_, head) => ({ layer, head })));
}

export function headName({ layer, head }: HeadId): string {
  return `L${layer}.H${head}`;
}

/** The grid of most patches: where an image is cut, that of its tiles. */
export function largestGrid(grids: readonly { readonly rows: number; readonly columns: number }[]): number {
  const size = (i: number) => (grids[i]?.rows ?? 0) * (grids[i]?.columns ?? 0);
  return grids.reduce((best, _, i) => (size(i) > size(best) ? i : best), 0);
}

/** The largest absolute value of some maps: what they share as their scale's end. */
export function largestValue(maps: readonly AttentionMap[]): number {
  let largest = 0;
  for (const { grids } of maps)
    for (const { data } of grids) for (const value of data) largest = Math.max(largest, Math.abs(value));
  return largest || 1;
}

/**
 * Heads in the order of their effects, the largest first, those without one last as they were.
 *
 * @param effect of the head where a sweep was run
 */
export function byEffect(heads: readonly HeadId[], effect: (head: HeadId) => number | undefined): HeadId[] {
  const size = (head: HeadId) => Math.abs(effect(head) ?? Number.NaN);
  return [...heads].sort((a, b) => {
    const [x, y] = [size(a), size(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
    return y - x;
  });
}

/** Heads of one attention that are pinned. */
export function headsAmong(
  hooks: readonly { readonly hooks: readonly string[]; readonly heads?: readonly number[] | undefined }[],
  attention: string,
): HeadId[] {
  const [tower, ...kind] = attention.split('.');
  const found = new Map<string, HeadId>();
  for (const { hooks: names, heads = [] } of hooks)
    for (const name of names) {
      const [, of, layer, rest = ''] = /^(\w+)\.blocks\.(\d+)\.(.*)$/.exec(name) ?? [];
      if (of !== tower || !rest.startsWith(`${kind.join('.')}.`)) continue;
      for (const head of heads) {
        const id = { layer: Number(layer), head };
        found.set(headName(id), id);
      }
    }
  return [...found.values()];
}

/** Every head's attention to every patch, one row each. */
export function attentionTable(attention: SampleAttention, name: string): MapTable {
  const rows = headsOf(attention).flatMap((head) =>
    attentionMapOf(attention, { head }).grids.flatMap(({ image, columns, data }, grid) =>
      Array.from(data, (value, patch) => ({
        attention: name,
        ...head,
        image,
        grid,
        row: Math.floor(patch / columns),
        column: patch % columns,
        value,
      })),
    ),
  );
  return {
    columns: {
      attention: 'text',
      layer: 'integer',
      head: 'integer',
      image: 'integer',
      grid: 'integer',
      row: 'integer',
      column: 'integer',
      value: 'float',
    },
    rows,
  };
}
