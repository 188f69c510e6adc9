export { NetworkError } from './errors.ts';
export { INDEX, neededFiles, SINGLE } from './files.ts';
export { type Fetch, fetchText, type HttpOptions } from './http.ts';
export {
  authorization,
  COMMIT,
  checkRevision,
  explainRefusal,
  type HubOptions,
  isModelId,
  type Repository,
  type RepositoryFile,
  readRepository,
  splitRevision,
} from './repository.ts';
