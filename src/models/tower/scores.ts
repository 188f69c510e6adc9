// Scores, pattern and z of the rows that attention computes, and the probe that looks at them.

import { OutOfMemoryError, type Tensor } from '../../gpu/index.ts';
import {
  type AttentionPlan,
  attentionScores,
  attentionSoftmax,
  attentionValues,
  releasePlan,
  uploadPlan,
} from '../../kernels/index.ts';
import { type Attendance, type AttentionRun, attendance } from './attend.ts';
import type { TowerConfig } from './config.ts';
import { cutChunk, cutsOf } from './cuts.ts';
import type { Sequence } from './sequence.ts';
import { appendToFrame, type Frame, type Walk } from './walk.ts';

const SCORES = 'hook_attn_scores';
const PATTERN = 'hook_pattern';

/** Scores of one chunk of attention take at most this many bytes. */
const SCRATCH_BYTES = 96 * 1024 * 1024;

/** Scores, pattern and z for all positions that have to be computed. What a probe cuts is cut before it looks. */
export async function attend(
  walk: Walk,
  config: TowerConfig,
  prefix: string,
  runs: readonly AttentionRun[],
  stream: Frame<'x'>,
  { q, k, v }: { q: Tensor; k: Tensor; v: Tensor },
): Promise<Tensor> {
  const { w } = walk;
  const { heads, headSize } = config;
  const scoresName = `${prefix}.${SCORES}`;
  const cuts = walk.probe.cuts?.(scoresName)?.read();
  const parts = lookedAt(walk, prefix, runs);
  let { rows } = stream.x;
  const layouts = parts.map(({ looked, runs: own }) => {
    // A probe sees the scores of all its queries at once, and what it writes at masked keys counts.
    const bytes = looked ? Number.POSITIVE_INFINITY : SCRATCH_BYTES;
    const layout = attendance(own, rows, heads, bytes, looked);
    rows += layout.newRows.length;
    return { ...layout, looked };
  });
  appendToFrame(w, stream, Uint32Array.from(layouts.flatMap(({ newRows }) => [...newRows])));
  const z = w.empty(stream.x.rows, heads * headSize, `${prefix} z`);
  for (const layout of layouts) {
    const { plan, looked } = layout;
    if (looked && plan.chunks.length > 1) throw tooManyToLookAt(prefix, heads, plan);
    const tables = uploadPlan(w, plan);
    const edges = cuts ? cutsOf(cuts, layout, heads, scoresName) : [];
    for (const chunk of plan.chunks) {
      const visit = async (hook: string, tensor: Tensor) => {
        if (looked) await visitQueries(walk, `${prefix}.${hook}`, tensor, heads, layout, runs);
      };
      try {
        const scores = attentionScores(w, q, k, config, tables, chunk);
        if (cuts) cutChunk(w, scores, heads, chunk, edges, cuts.fired);
        await visit(SCORES, scores);
        attentionSoftmax(w, scores, heads, tables, chunk, cuts !== undefined);
        await visit(PATTERN, scores);
        attentionValues(w, scores, v, z, config, tables, chunk);
        w.release(scores);
      } catch (error) {
        if (looked && error instanceof OutOfMemoryError) throw tooManyToLookAt(prefix, heads, plan, error);
        throw error;
      }
    }
    releasePlan(w, tables);
  }
  return z;
}

/** Runs with the positions whose scores or pattern somebody looks at, and with the others. */
function lookedAt(
  { probe }: Walk,
  prefix: string,
  runs: readonly AttentionRun[],
): { readonly looked: boolean; readonly runs: readonly AttentionRun[] }[] {
  const wanted = [SCORES, PATTERN].map((hook) => `${prefix}.${hook}`).filter((name) => probe.wants(name));
  if (wanted.length === 0) return [{ looked: false, runs }];
  const lists = wanted.map((name) => probe.queries?.(name));
  if (lists.includes(undefined)) return [{ looked: true, runs }];
  const queries = new Set(lists.flatMap((list) => list ?? []));
  return [true, false].map((looked) => ({
    looked,
    runs: runs.map((run) => ({
      ...run,
      positions: run.positions.filter((position) => queries.has(position) === looked),
    })),
  }));
}

function tooManyToLookAt(
  prefix: string,
  heads: number,
  { entries, pitch }: AttentionPlan,
  cause?: unknown,
): OutOfMemoryError {
  const rows = entries.length / 4;
  const bytes = 4 * rows * heads * pitch;
  return new OutOfMemoryError(
    bytes,
    `${prefix}: scores or pattern of ${rows} positions, ${heads} heads and ${pitch} keys take ${bytes} bytes, more than can ` +
      'be looked at together. Look at the rows of some positions (queries, --queries), run fewer sequences at a time, ' +
      'or raise the memory budget.',
    { cause },
  );
}

async function visitQueries(
  { probe }: Walk,
  name: string,
  tensor: Tensor,
  heads: number,
  { plan, entryOf }: Attendance,
  runs: readonly AttentionRun[],
): Promise<void> {
  if (!probe.wants(name)) return;
  const keys = new Map(runs.map((attending) => [attending.run, attending.keys.length]));
  await probe.visit({
    name,
    tensor,
    heads,
    size: plan.pitch,
    positionsOf: 'self',
    columns: 'keys',
    rowOf: entryOf,
    keysOf: (run) => keys.get(run) ?? 0,
  });
}

/**
 * Positions at which runs depart from their base at the scores or the pattern.
 *
 * @param narrowing whether those count that only see fewer keys
 */
export function patternForks(
  { probe }: Walk,
  prefix: string,
  { narrowing = true }: { readonly narrowing?: boolean } = {},
): Map<Sequence, number[]> {
  const forks = new Map<Sequence, number[]>();
  for (const hook of [SCORES, PATTERN]) {
    for (const { run, positions, narrows = false } of probe.forks(`${prefix}.${hook}`)) {
      if (narrows && !narrowing) continue;
      const computed = positions.filter((position) => run.row(position) >= 0);
      forks.set(run, [...(forks.get(run) ?? []), ...computed]);
    }
  }
  return forks;
}
