// Measurements of an adapter that run wherever the library does: `notice bench` and the explorer print them.

export { type HostInputs, type KernelCase, kernelCases, type PreparedCase } from './cases.ts';
export { estimateForward, type ForwardResult, forwardLine, forwardTo, measureForward } from './forward.ts';
export { formatRate, type KernelOptions, type KernelResult, kernelLine, measureKernel } from './kernels.ts';
export {
  alternate,
  type Contender,
  checkSample,
  type MeasureOptions,
  median,
  randomValues,
  type Times,
} from './measure.ts';
export { measurePeak, type Peak } from './peak.ts';
export { type TuneOptions, type TuningResult, tuneKernels } from './tune.ts';
export { gainOfMatrices, tuningBlock, tuningLine } from './tuning-text.ts';
