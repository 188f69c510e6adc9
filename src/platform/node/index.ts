export { type NodeGpuOptions, openGpu } from './adapter.ts';
export { nodeFetch } from './fetch.ts';
export { fileSource, nodeFolder } from './files.ts';
export { type PulledModel, type PullOptions, type PullProgress, pullModel } from './hub/index.ts';
export { decodeImage, decodeMask, readImage } from './images.ts';
