export { isModelId, ModelCache } from './cache.ts';
export { NetworkError } from './errors.ts';
export { missingFiles, neededFiles } from './files.ts';
export {
  type HubSettings,
  type PulledModel,
  type PullOptions,
  type PullProgress,
  pullModel,
} from './pull.ts';
export { type ResolvedModel, resolveModel, splitRevision } from './resolve.ts';
