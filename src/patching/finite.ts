// Logits that are not finite decide nothing: the largest of them is token 0, whatever was asked. Who decides something of
// logits refuses them, and a second pass, slow as it reads everything, finds where they come from.

import { NoticeError } from '../errors.ts';
import type { SampleInput, VisionLanguageModel } from '../models/index.ts';
import type { CustomHook } from './intervention.ts';
import { type RunOptions, runWithHooks } from './run.ts';

/** A forward pass that is looked into, and how messages call it. */
export interface NamedPass {
  readonly name: string;
  readonly sample: SampleInput;
  /** What else happens in it. */
  readonly options?: RunOptions | undefined;
}

/** Ends the pass. */
class Found extends Error {}

/**
 * The first hook point, in the order of computation, at which a forward pass has a NaN or an infinity; −∞ is what masked
 * attention scores are.
 *
 * @returns undefined if all is finite
 */
export async function firstNotFinite(
  model: VisionLanguageModel,
  sample: SampleInput,
  { hooks = [], ...options }: RunOptions = {},
): Promise<string | undefined> {
  const looks = model.hooks.map(({ name }): CustomHook => {
    const lowest = name.endsWith('.hook_attn_scores') ? Number.NEGATIVE_INFINITY : -Number.MAX_VALUE;
    return {
      hook: name,
      callback: (values) => {
        if (!values.every((value) => value >= lowest && value < Number.POSITIVE_INFINITY))
          throw new Found(name);
        return undefined;
      },
    };
  });
  try {
    const [logits] = await runWithHooks(model, [sample], { ...options, hooks: [...hooks, ...looks] });
    return logits?.every(Number.isFinite) ? undefined : 'logits';
  } catch (error) {
    if (error instanceof Found) return error.message;
    throw error;
  }
}

/**
 * Does some work; if it ends because logits are not finite, the error says in which pass, and from which hook point on.
 *
 * @throws NoticeError('not-finite'), or what `work` throws
 */
export async function namingNotFinite<T>(
  model: VisionLanguageModel,
  passes: () => readonly NamedPass[],
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof NoticeError && error.code === 'not-finite')) throw error;
    for (const { name, sample, options } of passes()) {
      const hook = await firstNotFinite(model, sample, options);
      if (hook)
        throw new NoticeError(
          'not-finite',
          `${name}: values are not finite from ${hook} on, so the model answers nothing. Weights that overflow their type ` +
            'do this, or a damaged checkpoint; --dtype f32 tells which',
          { cause: error },
        );
    }
    throw error;
  }
}
