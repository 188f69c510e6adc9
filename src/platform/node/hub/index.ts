export { type DownloadOptions, discardPartial, downloadTo } from './download.ts';
export {
  type HubSettings,
  type PulledModel,
  type PullOptions,
  type PullProgress,
  pullModel,
} from './pull.ts';
export { mayBeRemote, remoteModel } from './remote.ts';
export { type ResolvedModel, resolveModel } from './resolve.ts';
