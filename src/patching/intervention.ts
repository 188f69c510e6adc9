// Typed interventions: what is changed, where, and from what.

import {
  checkChoice,
  checkFields,
  checkFlag,
  checkFloats,
  checkFunctions,
  checkList,
  checkText,
} from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { ModelRun } from '../models/index.ts';
import type { CachedActivation } from './cache.ts';
import { isOfScores } from './names.ts';

/** Where an intervention applies. Everything left out means all. */
export interface Target {
  /** Hook name. */
  readonly hook: string;
  /** The run, or its row in the batch. */
  readonly run?: ModelRun | number;
  readonly positions?: readonly number[];
  readonly heads?: readonly number[];
  /** Features within each head (of the whole row where there are no heads): [first, end). */
  readonly features?: readonly [first: number, end: number];
}

/**
 * Where values come from. Positions correspond one to one; left out, they are the target's. At scores and patterns the
 * source must have as many keys as the target.
 */
export type PatchSource =
  /** Another run of the same batch at the same hook point. */
  | { readonly run: ModelRun | number; readonly positions?: readonly number[] }
  /**
   * A cached activation, of this or another hook point with the same width. `batch` is its row. Left out, a cache of
   * one row serves every target, and one with as many rows as the batch gives each target the row of the same number.
   */
  | { readonly cached: CachedActivation; readonly batch?: number; readonly positions?: readonly number[] }
  /** Values [positions, heads, features or keys] of the target, or [heads, features or keys] for every position. */
  | { readonly values: Float32Array };

/** What only {@link cut} has. */
export interface CutFields {
  /** Positions that are not seen; default all. */
  readonly keys?: readonly number[];
  /** With `positions`, in generation: new tokens lose these edges, too. Without `positions` they do anyway. */
  readonly newTokens?: boolean;
  /** A position that has no edge left gets nothing from this attention, not even the bias of its output; default false. */
  readonly silent?: boolean;
}

/**
 * What is changed. Interventions at one hook point happen in the order given, and each reads all its sources before it
 * writes. Cuts come first, whatever their place in the list.
 */
export interface Intervention extends Target, CutFields {
  readonly op: 'replace' | 'zero' | 'mean' | 'add' | 'scale' | 'interpolate' | 'cut';
  readonly source?: PatchSource;
  /** Factor of add, scale and interpolate. */
  readonly alpha?: number;
}

/** An intervention in a walk of the library's own. */
export interface RunIntervention extends Intervention {
  /** The run whose values are the source: only positions at which it has some of its own are written, and none need be. */
  readonly whereOwnOf?: ModelRun;
}

const OPS = [
  'replace',
  'zero',
  'mean',
  'add',
  'scale',
  'interpolate',
  'cut',
] as const satisfies Intervention['op'][];
const CUT_FIELDS = ['hook', 'op', 'run', 'positions', 'heads', 'keys', 'newTokens', 'silent'];
const FIELDS = ['hook', 'run', 'positions', 'heads', 'features', 'op', 'source', 'alpha'];

/**
 * Checks what the types say; whether it exists in a model is checked when the intervention is at work there.
 *
 * @throws NoticeError('usage')
 */
export function checkIntervention(intervention: Intervention): void {
  checkFields(intervention, 'an intervention', intervention?.op === 'cut' ? CUT_FIELDS : FIELDS);
  const {
    hook,
    positions,
    heads,
    features,
    op,
    source,
    keys,
    newTokens = false,
    silent = false,
  } = intervention;
  checkChoice(op, `${hook}: op`, OPS);
  checkFlag(newTokens, `${hook}: newTokens`);
  checkFlag(silent, `${hook}: silent`);
  if (op === 'cut' && !isOfScores(hook))
    throw new NoticeError(
      'hook',
      `a cut is of an attention's scores (…attn.hook_attn_scores), found ${hook}`,
    );
  for (const [name, list] of Object.entries({ positions, heads, features, keys }))
    if (list !== undefined) checkList(list, `${hook}: ${name}`);
  if (source === undefined) return;
  checkFields(source, `${hook}: the source`, ['run', 'cached', 'batch', 'positions', 'values']);
  if ('positions' in source && source.positions !== undefined)
    checkList(source.positions, `${hook}: positions of the source`);
  if ('values' in source) checkFloats(source.values, `${hook}: values`);
}

/** Puts the source's value in: activation patching. */
export function replace(target: Target, source: PatchSource): Intervention {
  return { ...target, op: 'replace', source };
}

/** Zero ablation. */
export function zero(target: Target): Intervention {
  return { ...target, op: 'zero' };
}

/** Mean ablation: the mean over all runs of the batch and all their positions at this hook point. */
export function mean(target: Target): Intervention {
  return { ...target, op: 'mean' };
}

/** x + alpha · source: steering. */
export function add(target: Target, source: PatchSource, alpha = 1): Intervention {
  return { ...target, op: 'add', source, alpha };
}

/** alpha · x */
export function scale(target: Target, alpha: number): Intervention {
  return { ...target, op: 'scale', alpha };
}

/** (1 − alpha) · x + alpha · source */
export function interpolate(target: Target, source: PatchSource, alpha: number): Intervention {
  return { ...target, op: 'interpolate', source, alpha };
}

/**
 * Attention knock-out (Geva et al. 2023): edges from `keys` to `positions` are not there. Their scores are −∞ as they come to the
 * hook point, like those that a causal mask hides; a query with no edge left has pattern 0 and z = 0. Runs derived from
 * this one (cells of a sweep) are without these edges, too.
 *
 * @param target `hook` an attention's scores, `positions` queries
 */
export function cut(target: Omit<Target, 'features'> & CutFields): Intervention {
  return { ...target, op: 'cut' };
}

/** A user's code at a hook point, run on all positions of the batch. */
export type CustomHook =
  /** Statements of `fn edit(value: f32, batch: u32, position: u32, head: u32, feature: u32) -> f32`, for example `return max(value, 0.0);`. */
  | { readonly hook: string; readonly wgsl: string }
  /** Reads the activation [batch, position, …], may edit it in place or return a new one, which is written back. */
  | {
      readonly hook: string;
      readonly callback: (
        data: Float32Array,
        info: {
          readonly name: string;
          readonly shape: readonly number[];
          /** Position of each batch row's first entry: 0, but in generation, after the prompts, that of the new token. */
          readonly firstPositions: readonly number[];
        },
      ) => Float32Array | undefined | Promise<Float32Array | undefined>;
    };

/** @throws NoticeError('usage') unless it is a hook of one of both kinds */
export function checkHook(hook: CustomHook): void {
  checkFields(hook, 'a hook', ['hook', 'wgsl', 'callback']);
  const { hook: name, wgsl, callback } = hook as Partial<Record<string, unknown>>;
  if ((wgsl === undefined) === (callback === undefined))
    throw new NoticeError('usage', `the hook at ${name} needs either wgsl or a callback`);
  if (wgsl !== undefined) checkText(wgsl, `${name}: wgsl`);
  checkFunctions({ [`${name}: callback`]: callback });
}
