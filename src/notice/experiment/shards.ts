// A job's share of a run: every n-th question, or parts of the measurements that cost about as much as those of any other job.

import { NoticeError } from '../../errors.ts';
import type { Stage } from './context.ts';
import type { PartRecord, RunRecord, Shard, ShardRecord } from './record.ts';

/** "shard 2/8 of the questions" */
export const shardName = ({ index, count, of }: Pick<ShardRecord, keyof Shard | 'of'>): string =>
  `shard ${index}/${count} of the ${of}`;

/**
 * What a shard that ends after a stage is a share of.
 *
 * @throws NoticeError('usage') for a stage that is not shared
 */
export function shardOf(shard: Shard | undefined, until: Stage): ShardRecord | undefined {
  if (!shard) return undefined;
  if (until === 'judge' || until === 'select')
    throw new NoticeError('usage', `--until ${until} is not shared out: leave out --shard`);
  return { ...shard, of: until === 'evaluate' ? 'questions' : 'measurements', done: false };
}

/**
 * @throws NoticeError('usage') if a folder is of another shard, or its samples are to be measured by shards and have not been cut
 */
export function checkShard(shard: ShardRecord | undefined, { shard: known, parts }: RunRecord): void {
  if (known && (!shard || shardName(shard) !== shardName(known)))
    throw new NoticeError(
      'usage',
      `the results folder holds ${shardName(known)}${shard ? `, not ${shardName(shard)}` : ''}; each has a folder of its own`,
    );
  if (shard?.of === 'measurements' && !parts?.every(({ operations }) => operations !== undefined))
    throw new NoticeError(
      'usage',
      `${shardName(shard)} needs the folder where all answers are and \`notice run --until select\` has chosen samples: name it by --from`,
    );
}

/** For a shard whose data is not that of the folder that it began from. */
export function changedSince(shard: ShardRecord, what: string): NoticeError {
  return new NoticeError(
    'usage',
    `${shardName(shard)}: since the samples were chosen, data, images or model changed (${what}). Run --until select again where they were.`,
  );
}

/**
 * Deals parts to shards by their operations: the most expensive first, each to the shard that has least until then. So no two
 * shards differ by more than one part.
 *
 * @returns the parts of each shard, in their order
 */
export function dealParts<T extends Pick<PartRecord, 'operations'>>(
  parts: readonly T[],
  count: number,
): T[][] {
  const cost = (part: T) => part.operations ?? 0;
  const loads = new Array<number>(count).fill(0);
  const shardOfPart = new Map<T, number>();
  for (const part of [...parts].sort((a, b) => cost(b) - cost(a))) {
    const least = loads.indexOf(Math.min(...loads));
    loads[least] = (loads[least] as number) + cost(part);
    shardOfPart.set(part, least);
  }
  return loads.map((_, shard) => parts.filter((part) => shardOfPart.get(part) === shard));
}
