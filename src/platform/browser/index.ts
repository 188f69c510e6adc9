export { type BrowserGpuOptions, openGpu } from './adapter.ts';
export { browserDecoder } from './image-decoder.ts';
export { opfsStore } from './opfs-store.ts';
