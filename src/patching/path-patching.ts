// Path patching (Wang et al. 2022, appendix B; Goldowsky-Dill et al. 2023): what a sender's clean value does on the direct way to some
// receivers, everything else as in the corrupt run.
//
// Of each sender a frozen run goes up: the corrupt run with the sender's clean value, whose attention and MLPs give what they gave before,
// so that only what the residual stream carries arrives. Of each path a second run takes what the frozen one has at its receivers, and goes on
// from there like any patched run. All runs are in one walk: a frozen run has rows at the sender's positions, those of paths from
// their receivers on, and a sender's frozen run serves all its paths.

import { checkChoice, checkFields, checkList } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { Frozen, ModelRun, VisionLanguageModel } from '../models/index.ts';
import type { Batch } from './batch.ts';
import { measuredJobs, type PatchPairInput, type SweepJob } from './cells.ts';
import type { Edited } from './changes.ts';
import type { Controls } from './controls.ts';
import { checkIntervention, type RunIntervention, replace, type Target } from './intervention.ts';
import { METRIC_NUMBERS, METRICS, measure } from './measure.ts';
import type { Metric } from './metric.ts';
import { hookPoint, towerOf } from './names.ts';
import { checkPair, measureOptions, type SweepOptions } from './sweep.ts';
import type { Baseline, BaseNumbers } from './walk-cells.ts';

/** Where a path begins or ends. What is left out means all. */
export type PathEnd = Omit<Target, 'run'>;

/** A pair, and between what its paths go. */
export interface PathJob extends PatchPairInput {
  /**
   * Where clean values are put: a head is `{ hook: '….attn.hook_z', heads: [3] }`, an MLP `{ hook: '….hook_mlp_out' }`, positions
   * `{ hook: 'projector.hook_out', positions }`, or `vision.hook_embed`, or any `hook_resid_…`. Several in a list send together.
   */
  readonly senders: readonly (PathEnd | readonly PathEnd[])[];
  /**
   * What takes the sender's change in: a head's `….attn.hook_q`, `hook_k` or `hook_v` (keys and values by key head), `….mlp.hook_pre` (with
   * a gate both its inputs), those of cross-attention, any `hook_resid_…` for all that reads the stream from there on, or `'logits'`. Several
   * in a list receive together.
   */
  readonly receivers: readonly ('logits' | PathEnd | readonly PathEnd[])[];
  /**
   * `frozen` (default): only the direct way counts (Goldowsky-Dill et al. 2023). `recomputed`: MLPs between sender and receivers hand the
   * change on, attention alone is frozen (Wang et al. 2022).
   */
  readonly mlps?: 'frozen' | 'recomputed' | undefined;
  /** What its runs are measured by; default that of the call. */
  readonly metric?: Metric | undefined;
}

export interface PathResult {
  /** [sender, receiver, numbers]: the four of `METRICS`, or the two of `METRIC_NUMBERS` where the job has a metric. */
  readonly shape: readonly [senders: number, receivers: number, numbers: number];
  readonly data: Float32Array;
  /**
   * How many elements of its receivers each path writes, [sender, receiver]. 0: no direct way leads there, and the effect is exactly 0.
   */
  readonly reached: Uint32Array;
  readonly baseline: Baseline;
  /** Of the answer's first position, [vocabulary]. */
  readonly logits: { readonly clean: Float32Array; readonly corrupt: Float32Array };
  /** Absent if they were not asked for. The null patch sends the corrupt run's own value. */
  readonly controls: Controls | undefined;
}

/** One path. */
interface PathCell extends Edited {
  readonly index: number;
}

/**
 * Patches every path from a sender to receivers, all in as few walks as fit.
 *
 * @param options as of `sweep`; `controls` are null patch, full restoration and rounding noise
 * @returns one result per job
 * @throws NoticeError('hook') for a sender or receiver that the model does not have or that is not of the residual stream's positions,
 *   ('unfired') if a sender's value was not written exactly as asked, ('control') if a self-check fails, as `sweep` for the pair
 */
export async function pathPatching(
  model: VisionLanguageModel,
  given: readonly PathJob[],
  options: Omit<SweepOptions, 'onCells' | 'mode' | 'repeat'> = {},
): Promise<PathResult[]> {
  checkList(given, 'jobs', 'jobs');
  const jobs = measuredJobs(
    given.map(({ senders: _, receivers: __, mlps: ___, ...pair }) => ({ ...pair, sites: [] })),
    options.metric,
  );
  const prepared = given.map((job, pair) => {
    checkPair(model, jobs[pair] as SweepJob, pair);
    return cellsOf(model, job, pair);
  });
  const wishes = { ...measureOptions(options), repeat: 0 };
  const { numbers, counts, bases } = await measure(model, jobs, prepared.flat(), wishes);
  return prepared.map((cells, pair) => {
    const { baseline, logits, controls } = bases.get(pair) as BaseNumbers;
    const { senders, receivers } = given[pair] as PathJob;
    const width = (jobs[pair]?.metric ? METRIC_NUMBERS : METRICS).length;
    const data = new Float32Array(width * cells.length);
    for (const cell of cells) data.set(numbers.get(cell) as Float32Array, width * cell.index);
    return {
      shape: [senders.length, receivers.length, width],
      data,
      reached: Uint32Array.from(cells, (cell) => counts.get(cell) as number),
      ...{ baseline, logits, controls },
    };
  });
}

const FIELDS = ['hook', 'positions', 'heads', 'features'];

/** The paths of a job, in the order [sender, receiver] of the results. */
function cellsOf(
  model: VisionLanguageModel,
  { senders, receivers, mlps = 'frozen' }: PathJob,
  pair: number,
): PathCell[] {
  checkChoice(mlps, `pair ${pair}: mlps`, ['frozen', 'recomputed']);
  checkList(senders, `pair ${pair}: senders`, 'senders');
  checkList(receivers, `pair ${pair}: receivers`, 'receivers');
  if (senders.length === 0 || receivers.length === 0)
    throw new NoticeError('usage', `pair ${pair}: no ${senders.length === 0 ? 'senders' : 'receivers'}`);
  const frozen: Frozen = mlps === 'frozen' ? 'all' : 'attention';
  const to = receivers.map((receiver) =>
    receiver === 'logits'
      ? receiver
      : endsOf(model, receiver, 'receiver', GIVEN).flatMap((end) => withGate(model, end)),
  );
  return senders.flatMap((sender, s) => {
    const from = endsOf(model, sender, 'sender', INSIDE);
    return to.map((ends, r): PathCell => pathCell(from, ends, { pair, frozen, index: s * to.length + r }));
  });
}

/** @param from its identity stands for the sender: paths with the same share their frozen run */
function pathCell(
  from: readonly PathEnd[],
  to: 'logits' | readonly PathEnd[],
  { pair, frozen, index }: { readonly pair: number; readonly frozen: Frozen; readonly index: number },
): PathCell {
  const [first] = from as [PathEnd];
  const towers = from.map(({ hook }) => towerOf(hook));
  const send = (batch: Batch, key: object, source: ModelRun) => {
    const interventions: RunIntervention[] = [];
    const sending = batch.frozenRun(pair, key, { towers, frozen }, (run) =>
      interventions.push(...from.map((end) => replace({ ...end, run }, { run: source }))),
    );
    if (to === 'logits') return { run: sending, interventions };
    const run = batch.derive(pair, ...to.map(({ hook }) => towerOf(hook)));
    const received = to.map(
      (end): RunIntervention => ({ ...replace({ ...end, run }, { run: sending }), whereOwnOf: sending }),
    );
    return { run, interventions: [...interventions, ...received] };
  };
  return {
    ...{ pair, index, name: 'the path' },
    hook: first.hook,
    layer: Number(/\.blocks\.(\d+)\./.exec(first.hook)?.[1] ?? 0),
    positions: first.positions ?? [],
    measured: (batch) => send(batch, from, batch.bases(pair).clean),
    nullRun: (batch) => send(batch, {}, batch.bases(pair).corrupt),
  };
}

/** What a sublayer has inside, whose change it does not hand on while it is frozen. */
const INSIDE =
  /\.(attn|cross_attn)\.hook_((rot_|normalized_)?[qkv]|attn_scores|pattern)$|\.mlp\.hook_pre(_linear)?$/;
/** What a frozen sublayer gives. */
const GIVEN =
  /\.(attn|cross_attn)\.hook_(attn_scores|pattern|z|out)$|\.mlp\.hook_(post|out)$|\.hook_(attn|cross_attn|mlp)_out$/;

/**
 * The ends that are named together, with whole names.
 *
 * @param what for messages
 * @param wrong hook points that cannot be such an end
 */
function endsOf(
  model: VisionLanguageModel,
  given: PathEnd | readonly PathEnd[],
  what: 'sender' | 'receiver',
  wrong: RegExp,
): readonly PathEnd[] {
  const ends = Array.isArray(given) ? (given as readonly PathEnd[]) : [given as PathEnd];
  if (ends.length === 0) throw new NoticeError('usage', 'an empty list of senders or receivers');
  return ends.map((end) => {
    checkFields(end, 'an end of a path', FIELDS);
    const hook = hookPoint(model, end.hook);
    checkIntervention({ ...end, hook, op: 'replace' });
    if (wrong.test(hook) || hook === 'logits')
      throw new NoticeError(
        'hook',
        `${hook} is no ${what} of a path: senders are z of heads, outputs of sublayers and the residual stream, receivers ` +
          "queries, keys, values and inputs of MLPs, the residual stream and 'logits'",
      );
    return { ...end, hook };
  });
}

/** A gated MLP has two inputs. */
function withGate(model: VisionLanguageModel, end: PathEnd): PathEnd[] {
  const linear = end.hook.replace(/mlp\.hook_pre$/, 'mlp.hook_pre_linear');
  const gated = linear !== end.hook && model.hooks.some(({ name }) => name === linear);
  return gated ? [end, { ...end, hook: linear }] : [end];
}
