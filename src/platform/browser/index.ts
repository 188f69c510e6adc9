export { type BrowserGpuOptions, openGpu } from './adapter.ts';
