// The paper's experiment, from manifests to a report: entry point `notice-webgpu-cli/experiment`. docs/library.md has it as a
// program.

export { folderDigest, observed } from '../platform/node/digests.ts';
export { type Analysis, analyse, type HeadResults } from './experiment/analyse.ts';
export type { Progress, Stage, TaskInput } from './experiment/context.ts';
export { readInputs } from './experiment/inputs.ts';
export { beginFrom, mergeResults } from './experiment/merge.ts';
export { newRecord, ResultsFolder, type RunRecord } from './experiment/results.ts';
export { type RunOptions, runExperiment } from './experiment/run.ts';
export { checkSites, defaultSites, type ExperimentSettings } from './experiment/settings.ts';
export { type WrittenResults, writeResults } from './report/write.ts';
