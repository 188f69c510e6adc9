export { NetworkError } from './errors.ts';
export { neededFiles } from './files.ts';
export { fetchText, type RetryOptions } from './http.ts';
