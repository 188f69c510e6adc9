export { type NodeGpuOptions, openGpu } from './adapter.ts';
export { fileSource, nodeFolder } from './files.ts';
export { decodeImage, readImage } from './images.ts';
