// Painting into a picture while looking at the model that does it and changing it.

import { checkList } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { RgbImage } from '../inputs/index.ts';
import type { InpaintingModel, ModelRun, Painting, PaintOptions, Phase } from '../models/index.ts';
import { ActivationCache } from './cache.ts';
import { EditSet } from './edits.ts';
import { checkIntervention, type Intervention } from './intervention.ts';
import { hookPoint, type NameFilter, selectHooks } from './names.ts';
import { PatchProbe } from './probe.ts';

/**
 * An intervention on an inpainting model. `run` is 0 for the negative prompt, 1 for the prompt; with guidance of 1 or less there
 * is only run 0, the prompt.
 */
export interface StepIntervention extends Intervention {
  /** At which steps the UNet is changed, from 0; default all. */
  readonly steps?: readonly number[];
}

export interface InpaintOptions extends Omit<PaintOptions, 'probe' | 'onPhase'> {
  /** What to cache; default nothing. The UNet's activations are those of {@link cachedSteps}. */
  readonly names?: NameFilter;
  /** At which steps the UNet's are cached, from 0, or which of them at a step; default all. */
  readonly cachedSteps?: readonly number[] | ((name: string, step: number) => boolean);
  readonly interventions?: readonly StepIntervention[];
}

export interface Inpainted extends Painting {
  /**
   * What was cached, by the part of the model; the UNet's by the number of the step. Runs are the negative prompt and the prompt,
   * of the autoencoder there is one.
   */
  readonly caches: ReadonlyMap<Exclude<Phase, 'step'> | number, ActivationCache>;
  /** Frees the caches. */
  release(): void;
}

/** The part of the model that passes a hook point. */
function phaseOf(hook: string): Phase {
  if (hook.startsWith('text_encoder')) return 'text';
  if (hook.startsWith('unet')) return 'step';
  return hook.startsWith('vae_encoder') ? 'encode' : 'decode';
}

/**
 * Paints into a picture: diffusers' StableDiffusionInpaintPipeline with DDIM, strength 1 and eta 0.
 *
 * @param image of the size that is painted, a multiple of `model.factor` both ways
 * @param mask [height · width], 1 where it is painted over, else 0; see `maskOf`
 * @returns the model's picture, whole; `pasteOver` puts the original back around the mask
 * @throws NoticeError('image'), ('usage'), ('hook') for an unknown hook point, ('unfired'); the signal's reason
 */
export async function inpaint(
  model: InpaintingModel,
  image: RgbImage,
  mask: Uint8Array,
  prompt: string,
  { names, cachedSteps, interventions = [], ...options }: InpaintOptions = {},
): Promise<Inpainted> {
  const wanted = names === undefined ? new Set<string>() : selectHooks(model, names);
  if (cachedSteps !== undefined && typeof cachedSteps !== 'function') checkList(cachedSteps, 'cachedSteps');
  const edits = interventions.map(({ steps, ...intervention }) => {
    checkIntervention(intervention);
    const hook = hookPoint(model, intervention.hook);
    if (steps !== undefined) checkList(steps, `${hook}: steps`);
    const late = steps?.find((step) => step >= (options.steps ?? 50));
    if (late !== undefined || (steps && phaseOf(hook) !== 'step'))
      throw new NoticeError(
        'usage',
        late === undefined
          ? `${hook}: it is no part of the UNet, so it has no steps`
          : `${hook}: step ${late} of ${options.steps ?? 50} does not exist`,
      );
    return { steps, intervention: { ...intervention, hook } };
  });
  const caches = new Map<Exclude<Phase, 'step'> | number, ActivationCache>();
  const probes = new Map<Phase, PatchProbe>();
  const release = () => {
    for (const cache of caches.values()) cache.release();
  };
  const isCached =
    typeof cachedSteps === 'function'
      ? cachedSteps
      : (_: string, step: number) => cachedSteps?.includes(step) ?? true;
  const namesOf = (phase: Phase, step: number) =>
    new Set(
      [...wanted].filter((name) => phaseOf(name) === phase && (phase !== 'step' || isCached(name, step))),
    );
  try {
    const painting = await model.paint({ image, mask }, prompt, {
      ...options,
      probe: (w, runs: readonly ModelRun[], phase, step) => {
        const own = edits
          .filter(
            ({ intervention, steps }) =>
              phaseOf(intervention.hook) === phase && (steps?.includes(step) ?? true),
          )
          .map(({ intervention }) => intervention);
        const cacheNames = namesOf(phase, step);
        probes.delete(phase);
        if (own.length === 0 && cacheNames.size === 0) return undefined;
        const probe = new PatchProbe(w, { edits: new EditSet(w, runs, own), cacheNames, runs });
        probes.set(phase, probe);
        return probe;
      },
      onPhase: async (w, phase, step) => {
        const probe = probes.get(phase);
        if (!probe) return;
        await probe.verify();
        if (probe.cached.length === 0) return;
        w.keep(...probe.cached.map(({ tensor }) => tensor));
        const kept = probe.cached.map((activation) => activation.keptOn(model.gpu));
        caches.set(phase === 'step' ? step : phase, new ActivationCache(kept));
      },
    });
    return { ...painting, caches, release };
  } catch (error) {
    release();
    throw error;
  }
}
