export { isModelId, ModelCache } from './cache.ts';
export { type DownloadOptions, discardPartial, downloadTo } from './download.ts';
export { missingFiles } from './files.ts';
export {
  type HubSettings,
  type PulledModel,
  type PullOptions,
  type PullProgress,
  pullModel,
} from './pull.ts';
export { type ResolvedModel, resolveModel, splitRevision } from './resolve.ts';
