import type { Capabilities, Work } from '../../src/gpu/index.ts';

type Kernels = typeof import('../../src/kernels/index.ts');

export function onlyDispatching(capabilities: Partial<Capabilities>, dispatch: Work['dispatch']): Work;
export function callEveryKernel(K: Kernels, w: Work): void;
export function callDefaultMatmuls(K: Kernels, w: Work): void;
export function callCandidates(K: Kernels, w: Work): void;
