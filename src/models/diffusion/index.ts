export {
  type Canvas,
  type GivenNoise,
  type InpaintingModel,
  type InpaintingOptions,
  loadInpainting,
  type Painting,
  type PaintOptions,
  type Phase,
  type StepInfo,
} from './inpainting.ts';
export { parseScheduler, type SchedulerConfig, samplerSteps, timesteps } from './scheduler.ts';
