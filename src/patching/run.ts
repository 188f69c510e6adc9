// Running a model while looking at it and changing it.

import { checkList, checkPositive, checkSignal, checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { Work } from '../gpu/index.ts';
import {
  type Generated,
  type GenerateOptions,
  type HookInfo,
  ModelRun,
  type SampleInput,
  samplesOf,
  type VisionLanguageModel,
  withOwnImages,
} from '../models/index.ts';
import { ActivationCache } from './cache.ts';
import { EditSet } from './edits.ts';
import { type CustomHook, checkHook, checkIntervention, type Intervention } from './intervention.ts';
import { findHook, hookPoint, type NameFilter, selectHooks, withDerived } from './names.ts';
import { PatchProbe, type PatchProbeOptions, StopWalk } from './probe.ts';
import { checkSnippet } from './snippet.ts';

export interface RunOptions {
  readonly interventions?: readonly Intervention[] | undefined;
  readonly hooks?: readonly CustomHook[] | undefined;
  /** Ends the run at its next wait, one for a callback too; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds that a hook's callback may take each time; default none. */
  readonly callbackTimeout?: number | undefined;
  /** Turns that the loops of a hook's WGSL may take for one value, all together; default 100 000. */
  readonly loopLimit?: number | undefined;
}

/** The fields of {@link RunOptions}, for those who refuse others. */
export const RUN_FIELDS = [
  'interventions',
  'hooks',
  'signal',
  'callbackTimeout',
  'loopLimit',
] satisfies (keyof RunOptions)[];

export interface CacheOptions extends RunOptions {
  /** What to cache; default everything. */
  readonly names?: NameFilter;
  /**
   * Of scores and patterns the rows of these positions, in this order; default all. A row's keys are all there. It takes less
   * memory: the whole matrix of a long prompt or a large picture may not fit.
   */
  readonly queries?: readonly number[];
  /** The forward pass ends after this hook point; there are no logits then. */
  readonly stopAfter?: string;
}

/**
 * The hook points of a model: name, shape, module of transformers. console.table prints it.
 *
 * @param options `derived`: with what is made of them on demand, `attn.hook_result`; default false
 */
export function hooks(
  model: VisionLanguageModel,
  { derived = false }: { readonly derived?: boolean } = {},
): readonly HookInfo[] {
  return derived ? withDerived(model) : model.hooks;
}

/**
 * Forward pass that keeps activations on the GPU.
 *
 * @returns logits [batch, vocabulary] of the answer's first position (undefined after `stopAfter`) and the cache;
 *   call `cache.release()` when done with it
 * @throws NoticeError('hook') for an unknown hook point or an intervention that does not fit it
 */
export async function runWithCache(
  model: VisionLanguageModel,
  samples: readonly SampleInput[],
  { names = () => true, queries, stopAfter, ...options }: CacheOptions = {},
): Promise<{ logits: Float32Array[] | undefined; cache: ActivationCache }> {
  const cacheNames = selectHooks(model, names);
  if (queries !== undefined) checkList(queries, 'queries');
  return forward(model, samples, { ...options, cacheNames, queries, stopAfter });
}

/**
 * Forward pass with interventions and custom hooks.
 *
 * @returns logits of the answer's first position, per sample [vocabulary]
 * @throws NoticeError('unfired') if an intervention did not happen exactly as often as asked, ('hook') if a hook's code
 *   takes too long; the signal's reason
 */
export async function runWithHooks(
  model: VisionLanguageModel,
  samples: readonly SampleInput[],
  options: RunOptions,
): Promise<Float32Array[]> {
  const { logits } = await forward(model, samples, { ...options, cacheNames: new Set() });
  return logits as Float32Array[];
}

/**
 * Generates answers with interventions and custom hooks at work, in the prompts' pass and in that of every new token. An
 * intervention without positions changes all positions, new ones as they come; one with positions those of the prompt.
 *
 * @throws as {@link runWithHooks}
 */
export async function generateWithHooks(
  model: VisionLanguageModel,
  samples: readonly SampleInput[],
  {
    interventions,
    hooks: custom,
    callbackTimeout,
    loopLimit,
    ...options
  }: RunOptions & Omit<GenerateOptions, 'probe' | 'onEnd'>,
): Promise<Generated[]> {
  const limits = { callbackTimeout, loopLimit };
  const wishes = await named(model, { interventions, hooks: custom, signal: options.signal, ...limits });
  let probe: PatchProbe | undefined;
  return model.generate(samplesOf(samples).map(withOwnImages), {
    ...options,
    probe: (w, runs) => {
      const edits = new EditSet(w, runs, wishes.interventions);
      probe = new PatchProbe(w, { ...limits, edits, custom: wishes.custom, runs });
      return probe;
    },
    onEnd: async () => probe?.verify(),
  });
}

/**
 * Wishes with the whole names of their hook points.
 *
 * @throws ShaderError if the WGSL of a hook does not compile
 */
export async function named(
  model: VisionLanguageModel,
  { interventions = [], hooks: custom = [], signal, callbackTimeout, loopLimit }: RunOptions,
) {
  checkSignal(signal);
  if (loopLimit !== undefined) checkWhole(loopLimit, 'loopLimit', { from: 1, to: 2 ** 32 - 2 });
  if (callbackTimeout !== undefined) checkPositive(callbackTimeout, 'callbackTimeout', { infinite: true });
  interventions.forEach(checkIntervention);
  custom.forEach(checkHook);
  const whole = <T extends { readonly hook: string }>(wish: T): T => ({
    ...wish,
    hook: hookPoint(model, wish.hook),
  });
  const hooks = custom.map(whole);
  for (const hook of hooks) if ('wgsl' in hook) await checkSnippet(model.gpu, hook, signal);
  return { interventions: interventions.map(whole), custom: hooks };
}

interface Wishes extends RunOptions, Pick<PatchProbeOptions, 'queries' | 'stopAfter' | 'watch'> {
  readonly cacheNames: ReadonlySet<string>;
  /** Reads what `watch` has made, while it is there. */
  readonly onEnd?: (w: Work) => Promise<void>;
}

/**
 * One forward pass of some samples, each with images of its own.
 *
 * @throws as {@link runWithCache}
 */
export async function forward(
  model: VisionLanguageModel,
  given: readonly SampleInput[],
  wishes: Wishes,
): Promise<{ logits: Float32Array[] | undefined; cache: ActivationCache }> {
  const { gpu } = model;
  const samples = samplesOf(given);
  if (samples.length === 0) throw new NoticeError('usage', 'no samples to run');
  const { interventions, custom } = await named(model, wishes);
  const { cacheNames, queries, watch, callbackTimeout, loopLimit } = wishes;
  const stopAfter = wishes.stopAfter && findHook(model, wishes.stopAfter).name;
  // An edit of one row must not reach another through an image that both share.
  const runsOf = () => samples.map((sample) => new ModelRun(withOwnImages(sample)));
  const runs = runsOf();
  if (stopAfter === undefined) await gpu.ahead(model, (w) => model.forward(w, runsOf()));
  return gpu.work(async (w) => {
    const edits = new EditSet(w, runs, interventions);
    const probe = new PatchProbe(w, {
      edits,
      custom,
      callbackTimeout,
      loopLimit,
      cacheNames,
      queries,
      watch,
      runs,
      stopAfter,
    });
    let logits: Float32Array[] | undefined;
    try {
      const { tensor, rowOf } = await model.forward(w, runs, { probe });
      const [values] = await w.read(tensor);
      logits = runs.map((run) => {
        const row = rowOf(run);
        return (values as Float32Array).slice(row * tensor.columns, (row + 1) * tensor.columns);
      });
    } catch (error) {
      if (!(error instanceof StopWalk)) throw error;
    }
    await wishes.onEnd?.(w);
    await probe.verify();
    w.keep(...probe.cached.map(({ tensor }) => tensor));
    return { logits, cache: new ActivationCache(probe.cached.map((activation) => activation.keptOn(gpu))) };
  }, wishes);
}
