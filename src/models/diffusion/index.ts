export { latentMask, toPlanes } from './arrays.ts';
export type {
  Canvas,
  GivenNoise,
  InpaintingModel,
  Painting,
  PaintOptions,
  Phase,
  StepInfo,
} from './inpainting.ts';
export { type InpaintingOptions, loadInpainting } from './load.ts';
export { parseScheduler, type SchedulerConfig, samplerSteps, timesteps } from './scheduler.ts';
