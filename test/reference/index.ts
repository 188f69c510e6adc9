// The mathematics of every kernel in f64, written to be read: what the kernels are tested against.

export { activate, activation, erf, scaling, slope } from './activation.ts';
export { attention, type HeadResult, type Query, softmax } from './attention.ts';
export { addPositions, embedImage, embedTokens, imagePatches } from './embedding.ts';
export { bf16Value, f16Value, roundToBf16, roundToF16 } from './half.ts';
export { add, type LinearOptions, linear } from './linear.ts';
export { dot, flatten, type Matrix, mean, norm, sum, toRows } from './matrix.ts';
export { logSumExp, metricValue, restoration } from './metrics.ts';
export { layerNorm, rmsNorm } from './norm.ts';
export { int8, NF4_CODE, nf4, type Quantized } from './quantize.ts';
export { rotary } from './rotary.ts';
export { addRows, gatherRows, intervene, meanRows } from './rows.ts';
