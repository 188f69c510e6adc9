// The work on parts: sweeps, and where every head looks.

import { sweepOperations } from '../../patching/index.ts';
import { saveAttention } from './attention.ts';
import type { Part, RunContext } from './context.ts';
import { measure } from './measure.ts';
import { preparePart, sweepsOf } from './part-inputs.ts';
import { KINDS, type PartKind, partsWith } from './record.ts';
import { dealParts } from './shards.ts';

/** The run's stage: sweeps of this shard's parts. */
export async function measureParts(run: RunContext): Promise<void> {
  const { settings, store, model } = run;
  let first = true;
  /** Operations of a part: planned of the first, then those of the part before, which are much the same. */
  let expected: number | undefined;
  await workOff(run, 'measure', ownParts(run), ['cells', 'controls'], async (part, onShare) => {
    const list = sweepsOf(run, part, await preparePart(run, part));
    // One cell of the first part is repeated by itself; every part has all other controls.
    const planned = () =>
      sweepOperations(
        model,
        list.map(({ job }) => job),
      );
    const total = part.operations ?? expected ?? (await planned());
    let done = 0;
    model.gpu.onWork((more) => {
      done += more;
      onShare(Math.min(1, done / total));
    });
    const { rows, controls } = await measure(model, settings, list, first ? 1 : 0).finally(() =>
      model.gpu.onWork(undefined),
    );
    first = false;
    expected = done;
    await store.writeCells(part.name, rows, controls);
  });
}

/** The run's stage: where every head looks, in this shard's parts. */
export async function lookAtParts(run: RunContext): Promise<void> {
  const { store, model, record } = run;
  const own = ownParts(run).filter(({ noise }) => !noise);
  await workOff(run, 'attention', own, ['attention'], async (part) => {
    const prepared = await preparePart(run, part);
    await store.writeAttention(part.name, await saveAttention(model, prepared, record.look ?? 'answer'));
  });
}

/**
 * Works on the parts that have no results of some kinds: first on those that no other process is at, then on what these
 * processes left. `work` tells what share of a part is done.
 */
async function workOff(
  { store, onProgress, log, signal }: RunContext,
  step: 'measure' | 'attention',
  parts: readonly Part[],
  kinds: readonly PartKind[],
  work: (part: Part, onShare: (share: number) => void) => Promise<void>,
): Promise<void> {
  const holds = async ({ name }: Part, onDamage?: (what: string) => void): Promise<boolean> => {
    const held: boolean[] = [];
    for (const kind of kinds) held.push(await store.holds(kind, name, onDamage));
    return !held.includes(false);
  };
  const wait = (owner: string) => log(`waits for ${owner}, which is at the last of the parts (${step})`);
  let done = 0;
  let open = parts;
  for (const busy of ['skip', wait] as const) {
    const left: Part[] = [];
    for (const part of open) {
      signal?.throwIfAborted();
      onProgress(step, part.task, done, parts.length);
      const once = async () => {
        if (!(await holds(part, (what) => log(`${what}: it is computed anew.`))))
          await work(part, (share) => onProgress(step, part.task, done + share, parts.length));
      };
      if ((await holds(part)) || (await store.claim(`${step}-${part.name}`, once, busy, signal)))
        onProgress(step, part.task, ++done, parts.length);
      else left.push(part);
    }
    open = left;
  }
}

/** Whether this run's parts all have their results; of a whole run what is not among them then goes. */
export async function isComplete(run: RunContext): Promise<boolean> {
  const { store, shard } = run;
  const wanted = new Map(KINDS.map((kind) => [kind, new Set(partsWith(kind, ownParts(run)))]));
  for (const [kind, names] of wanted)
    for (const name of names) if (!(await store.holds(kind, name))) return false;
  if (!shard) await store.keepOnly(wanted);
  return true;
}

const ownParts = ({ shard, parts }: RunContext): readonly Part[] =>
  shard ? (dealParts(parts, shard.count)[shard.index - 1] as Part[]) : parts;
