export { type BlockWeights, hasCross, type Linear, type MlpWeights, type TowerConfig } from './config.ts';
export { type Cut, type Cuts, ranges } from './cuts.ts';
export { headResults } from './head-results.ts';
export { blockMask, type KeyRange, type Mask, maskOf, type Seen, withBlocks } from './mask.ts';
export { type Activation, type Fork, type Frozen, NO_PROBE, type PixelPart, type Probe } from './probe.ts';
export { coordinatesOf, gridPlace, type Rotary, rotaryAngles, type Sections } from './rotary.ts';
export { appendRows } from './rows.ts';
export { Sequence } from './sequence.ts';
export { Tower } from './tower.ts';
export {
  appendToFrame,
  type Frame,
  type KeyValueCache,
  type Memory,
  passPoint,
  rowActivation,
  type Walk,
} from './walk.ts';
