export { NetworkError } from './errors.ts';
export { INDEX, neededFiles, noWeights, PIPELINE, pipelineFiles, SINGLE } from './files.ts';
export { type Fetch, fetchText, type HttpOptions } from './http.ts';
export {
  authorization,
  COMMIT,
  checkRevision,
  explainRefusal,
  fileAddress,
  type HubOptions,
  isModelId,
  type Repository,
  type RepositoryFile,
  readRepository,
  splitRevision,
} from './repository.ts';
export { checkEndpoint, checkToken, DEFAULT_ENDPOINT } from './settings.ts';
