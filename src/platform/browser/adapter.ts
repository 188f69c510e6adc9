import { checkChoice, checkPositive } from '../../check.ts';
import { Gpu, type GpuOptions, identify, NoAdapterError } from '../../gpu/index.ts';
import { askWhileWaiting } from './polling.ts';
import { readTuning } from './tuning.ts';

export interface BrowserGpuOptions extends GpuOptions {
  /**
   * `auto` (default): the adapter that the browser prefers. `hardware` and `software` insist; a browser that has
   * both gives a software adapter only when asked.
   */
  readonly adapter?: 'auto' | 'hardware' | 'software';
}

const HELP =
  'Turn on "Use graphics acceleration" in the browser\'s settings and update the graphics driver. ' +
  'Chrome and Edge say at chrome://gpu what they refuse and why; there, chrome://flags/#enable-unsafe-webgpu ' +
  '(Linux: also chrome://flags/#enable-vulkan) or the switch --enable-unsafe-webgpu admits adapters that are off by default.';

/**
 * Opens a device through the browser's WebGPU, with the choices of kernels that the explorer measured on it; works in windows
 * and in workers.
 *
 * @throws NoAdapterError that says what to enable
 */
export async function openGpu(options: BrowserGpuOptions = {}): Promise<Gpu> {
  const wanted = options.adapter ?? 'auto';
  checkChoice(wanted, 'adapter', ['auto', 'hardware', 'software']);
  if (options.memoryBudget !== undefined)
    checkPositive(options.memoryBudget, 'memoryBudget', { infinite: true });
  const entry = navigator.gpu as GPU | undefined;
  if (!entry) throw new NoAdapterError(reasonWithoutWebGpu());
  const adapter = await entry.requestAdapter({
    powerPreference: 'high-performance',
    forceFallbackAdapter: wanted === 'software',
  });
  if (!adapter) {
    throw new NoAdapterError(
      `This browser has WebGPU but no ${wanted === 'auto' ? '' : `${wanted} `}adapter for it. ${HELP}`,
    );
  }
  const asking = /Firefox/.test(navigator.userAgent) ? askWhileWaiting(adapter) : adapter;
  const tuning = options.tuning ?? (await readTuning(identify(adapter.info)));
  const gpu = await Gpu.create(asking, entry, { ...options, tuning });
  if (wanted === 'hardware' && gpu.capabilities.software) {
    gpu.destroy();
    throw new NoAdapterError(
      `This browser has no hardware WebGPU adapter, only "${gpu.capabilities.architecture}", which runs on the CPU. ${HELP}`,
    );
  }
  return gpu;
}

function reasonWithoutWebGpu(): string {
  if (!isSecureContext) {
    return `Browsers offer WebGPU to secure pages only, and ${location.origin} is not one: open the page by https:// or from http://localhost.`;
  }
  return (
    'This browser has no WebGPU (navigator.gpu is missing). Use a current Chrome, Edge, Safari or Firefox; ' +
    'where it is switched off, enable chrome://flags/#enable-unsafe-webgpu (Firefox: dom.webgpu.enabled in about:config; ' +
    'Safari: WebGPU among the feature flags).'
  );
}
