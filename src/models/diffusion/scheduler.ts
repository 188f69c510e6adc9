// DDIM (Song et al. 2021) as diffusers' DDIMScheduler with eta 0, whatever scheduler a folder names: only its noise schedule
// is a property of the model. Pure, so it is tested without a GPU.

import { checkWhole } from '../../check.ts';
import { roundHalfEven } from '../../round.ts';
import { JsonConfig } from '../json-config.ts';

export interface SchedulerConfig {
  readonly trainSteps: number;
  /** Cumulative products of 1 − β, f32 values. */
  readonly alphas: Float32Array;
  /** The cumulative product before the first training step. */
  readonly finalAlpha: number;
  readonly prediction: 'epsilon' | 'v_prediction';
  readonly spacing: 'leading' | 'trailing' | 'linspace';
  readonly offset: number;
}

/** A step: latents' = a · latents + b · prediction. */
export interface SamplerStep {
  readonly timestep: number;
  readonly a: number;
  readonly b: number;
}

/**
 * scheduler_config.json of any of diffusers' schedulers.
 *
 * @throws NoticeError('config') naming the field
 */
export function parseScheduler(json: unknown): SchedulerConfig {
  const config = new JsonConfig(json, 'scheduler/scheduler_config.json');
  for (const [name, usual] of [
    ['clip_sample', true], // DDIM's default: a file that leaves it out means it
    ['thresholding', false],
    ['rescale_betas_zero_snr', false],
  ] as const)
    if (config.boolean(name, usual))
      config.fail(
        `"${name}" ${config.has(name) ? 'is' : 'is left out, which DDIM takes for'} true; this is not supported`,
      );
  if (config.has('trained_betas')) config.fail('"trained_betas" are not supported');
  const trainSteps = config.size('num_train_timesteps', 1000);
  const schedule = config.choice('beta_schedule', ['linear', 'scaled_linear'], 'linear');
  const [start, end] = [config.positive('beta_start', 0.0001), config.positive('beta_end', 0.02)];
  if (!(start <= end && end < 1)) config.fail(`"beta_start" ${start} to "beta_end" ${end} are no schedule`);
  const alphas = cumulativeAlphas(trainSteps, schedule, start, end);
  return {
    trainSteps,
    alphas,
    finalAlpha: config.boolean('set_alpha_to_one', true) ? 1 : (alphas[0] as number),
    prediction: config.choice('prediction_type', ['epsilon', 'v_prediction'], 'epsilon'),
    spacing: config.choice('timestep_spacing', ['leading', 'trailing', 'linspace'], 'leading'),
    offset: config.integer('steps_offset', 0),
  };
}

/** Betas in f32, products in f64, rounded to f32 each: as torch's linspace and cumprod give them. */
function cumulativeAlphas(count: number, schedule: string, start: number, end: number): Float32Array {
  const alphas = new Float32Array(count);
  const root = schedule === 'scaled_linear';
  const [from, to] = [start, end].map((beta) => Math.fround(root ? Math.sqrt(beta) : beta)) as [
    number,
    number,
  ];
  const step = Math.fround((to - from) / Math.max(1, count - 1));
  let product = 1;
  for (let t = 0; t < count; t++) {
    // torch counts the second half down from the end.
    const value = Math.fround(2 * t < count ? from + step * t : to - step * (count - 1 - t));
    const beta = Math.fround(root ? value * value : value);
    product *= Math.fround(1 - beta);
    alphas[t] = product;
  }
  return alphas;
}

/**
 * The timesteps of a run, from noise to picture.
 *
 * @throws NoticeError('usage') for more steps than the model was trained with, and where the first is none of these
 */
export function timesteps({ trainSteps, spacing, offset }: SchedulerConfig, steps: number): number[] {
  checkWhole(steps, 'steps', {
    from: 1,
    to: spacing === 'leading' ? trainSteps - Math.max(0, offset) : trainSteps,
  });
  const ascending = Array.from({ length: steps }, (_, i) => {
    if (spacing === 'leading') return i * Math.floor(trainSteps / steps) + offset;
    if (spacing === 'linspace') return roundHalfEven((i * (trainSteps - 1)) / Math.max(1, steps - 1));
    return roundHalfEven(trainSteps - ((steps - 1 - i) * trainSteps) / steps) - 1;
  });
  return ascending.reverse();
}

/** The steps of a run in order, coefficients in f64. */
export function samplerSteps(config: SchedulerConfig, steps: number): SamplerStep[] {
  const { alphas, finalAlpha, prediction, trainSteps } = config;
  return timesteps(config, steps).map((timestep) => {
    const previous = timestep - Math.floor(trainSteps / steps);
    const now = alphas[timestep] as number;
    const next = previous >= 0 ? (alphas[previous] as number) : finalAlpha;
    const [signal, noise] = [Math.sqrt(now), Math.sqrt(1 - now)];
    const [nextSignal, nextNoise] = [Math.sqrt(next), Math.sqrt(1 - next)];
    return prediction === 'epsilon'
      ? { timestep, a: nextSignal / signal, b: nextNoise - (nextSignal * noise) / signal }
      : { timestep, a: nextSignal * signal + nextNoise * noise, b: nextNoise * signal - nextSignal * noise };
  });
}
