import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { checkChoice, checkPositive } from '../../check.ts';
import { Gpu, type GpuOptions, identify, isSoftware, NoAdapterError } from '../../gpu/index.ts';
import { DEVICE_VARIABLE, hasSelectionLayer, type NodeDevice, pciDisplays, tellApart } from './devices.ts';
import { peer } from './peer.ts';
import { spaceOutPolling } from './polling.ts';
import { provideSwiftShader } from './swiftshader.ts';
import { readTuning } from './tuning.ts';

export interface NodeGpuOptions extends GpuOptions {
  /**
   * `auto` (default): what the system's drivers offer, else SwiftShader. `hardware` and `software` insist; `software` is Mesa's
   * lavapipe where it is installed, which is faster, else SwiftShader.
   * The environment variable NOTICE_ADAPTER sets the default.
   */
  readonly adapter?: 'auto' | 'hardware' | 'software';
  /** Keep Dawn's bounds checks in shaders. They cost up to half of a kernel's time on software adapters. */
  readonly robustness?: boolean;
}

const HELP =
  'Install a Vulkan driver for your GPU (Linux: the vendor package or mesa-vulkan-drivers), or, for a machine ' +
  'without a GPU on Linux x64, the package that brings SwiftShader: npm install @sparticuz/chromium tar. notice-webgpu-cli brings it.';

const HELP_IN_WORKER =
  ' In a worker thread whose process has loaded another Vulkan driver, open a Gpu on the main thread first, or start the ' +
  'worker with `env: SHARE_ENV`.';

/**
 * Opens a device through Dawn (npm `webgpu`), with the choices of kernels that `notice bench --tune` measured on it.
 *
 * @throws NoAdapterError that says what to install; Dawn's null backend, which computes nothing, never passes
 */
export async function openGpu(options: NodeGpuOptions = {}): Promise<Gpu> {
  const wanted = options.adapter ?? adapterFromEnvironment();
  checkChoice(wanted, 'adapter', ['auto', 'hardware', 'software']);
  if (options.memoryBudget !== undefined)
    checkPositive(options.memoryBudget, 'memoryBudget', { infinite: true });
  let entry: GPU | undefined;
  let adapter: GPUAdapter | null = null;
  if (wanted === 'software' ? chooseLavapipe() : hasDriver()) {
    entry = await createEntry(options);
    adapter = await requestAdapter(entry);
  }
  if (adapter && wanted !== 'auto' && isSoftware(adapter.info) !== (wanted === 'software')) {
    if (wanted === 'hardware')
      throw new NoAdapterError(
        `No hardware WebGPU adapter was found, only "${identify(adapter.info).description}", which runs on the CPU. ${HELP}`,
      );
    adapter = null;
  }
  if (!adapter && wanted !== 'hardware' && (await provideSwiftShader())) {
    entry = await createEntry(options);
    adapter = await requestAdapter(entry);
  }
  if (!entry || !adapter) {
    const kind = wanted === 'auto' ? '' : `${wanted} `;
    throw new NoAdapterError(
      `No ${kind}WebGPU adapter was found. ${HELP}${isMainThread ? '' : HELP_IN_WORKER}`,
    );
  }
  const gpu = await Gpu.create(spaceOutPolling(adapter), entry, {
    tuning: readTuning(identify(adapter.info)),
    freeHostMemory: () => process.availableMemory(),
    ...options,
  });
  destroyAtExit(gpu);
  return gpu;
}

/** Devices that are neither destroyed nor lost. */
const alive = new Set<Gpu>();

/** Dawn crashes when the process exits while its device works. */
function destroyAtExit(gpu: Gpu): void {
  process.off('exit', destroyAll).on('exit', destroyAll);
  alive.add(gpu);
  void gpu.device.lost.then(() => alive.delete(gpu));
}

function destroyAll(): void {
  for (const gpu of alive) gpu.destroy();
}

function adapterFromEnvironment(): 'auto' | 'hardware' | 'software' {
  const value = process.env.NOTICE_ADAPTER ?? 'auto';
  if (value === 'auto' || value === 'hardware' || value === 'software') return value;
  throw new NoAdapterError(`NOTICE_ADAPTER is "${value}"; it can be auto, hardware or software.`);
}

const DRIVER_FOLDERS = [
  '/usr/share/vulkan/icd.d',
  '/etc/vulkan/icd.d',
  '/usr/local/share/vulkan/icd.d',
  '/usr/local/nvidia/share/vulkan/icd.d',
];

/** The manifests of the Vulkan drivers that are installed on a Linux system. */
function installedDrivers(): string[] {
  return DRIVER_FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .map((name) => join(folder, name)),
  );
}

/** Whether the environment says which Vulkan drivers there are. */
function driversAreGiven(): boolean {
  return Boolean(process.env.VK_ICD_FILENAMES || process.env.VK_DRIVER_FILES);
}

/** Asking Dawn without any driver prints warnings, so look first. */
function hasDriver(): boolean {
  return process.platform !== 'linux' || driversAreGiven() || installedDrivers().length > 0;
}

/**
 * Has the Vulkan loader take Mesa's lavapipe and nothing else, which it does if it has not been loaded yet.
 *
 * @returns false where it is not installed
 */
function chooseLavapipe(): boolean {
  if (process.platform !== 'linux') return false;
  if (driversAreGiven()) return true;
  const manifest = installedDrivers().find((path) => /lvp/.test(path));
  if (manifest === undefined) return false;
  process.env.VK_ICD_FILENAMES = manifest;
  process.env.VK_DRIVER_FILES = manifest;
  return true;
}

async function createEntry(options: NodeGpuOptions): Promise<GPU> {
  const { create, globals } = await peer('webgpu', 'A device', () => import('webgpu'));
  Object.assign(globalThis, globals);
  const features = [
    options.robustness ? '' : 'disable_robustness',
    options.subgroupMatrices ? 'allow_unsafe_apis' : '',
  ].filter(Boolean);
  const name = process.env[DEVICE_VARIABLE];
  return create([
    ...(name ? [`adapter=${name}`] : []),
    // Dawn rounds time stamps to 65 µs, which is longer than most kernels take on a GPU.
    'disable-dawn-features=timestamp_quantization',
    ...(features.length > 0 ? [`enable-dawn-features=${features.join(',')}`] : []),
  ]);
}

/**
 * The devices that Dawn finds, each with what a process is told to take it.
 *
 * @throws NoticeError('usage') saying why devices of one name cannot be told apart
 */
export async function listDevices(): Promise<NodeDevice[]> {
  let names = hasDriver() ? await adapterNames() : [];
  if (names.length === 0 && (await provideSwiftShader())) names = await adapterNames();
  return tellApart(names, pciDisplays(), hasSelectionLayer());
}

async function adapterNames(): Promise<string[]> {
  const { create } = await peer('webgpu', 'A device', () => import('webgpu'));
  // Dawn has no list but in what it says to a name that no adapter has.
  const ask = async () => create(['adapter=none of this name']).requestAdapter();
  const said = await ask().then(
    () => '',
    (error: Error) => error.message,
  );
  return [...said.matchAll(/^ \* backend: '(\w+)', name: '(.*)'$/gm)].flatMap(([, backend, name]) =>
    backend === 'null' || name === undefined ? [] : [name],
  );
}

async function requestAdapter(entry: GPU): Promise<GPUAdapter | null> {
  const adapter = await entry.requestAdapter({ powerPreference: 'high-performance' });
  return adapter && /null/i.test(`${adapter.info.device} ${adapter.info.description}`) ? null : adapter;
}
