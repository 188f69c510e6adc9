// What a device can do, as plain data: kernels choose their variant from this and from shapes alone, so the
// choice can be tested without a GPU.

import type { SubgroupMatrix } from './subgroup-matrix.ts';

export type Feature = 'shader-f16' | 'subgroups' | 'timestamp-query' | 'immediates';

/** What tells adapters apart. */
export interface AdapterIdentity {
  readonly vendor: string;
  readonly architecture: string;
  /** Human-readable adapter and driver, as the adapter gives it. */
  readonly description: string;
}

/**
 * What a device can do, decided once when it is opened (`gpu.capabilities`). Kernels choose their variants by it; nothing else
 * asks what machine it runs on. Sizes are in bytes, work is in floating-point operations.
 *
 * @example
 * const { description, software, subgroupSize, limits } = gpu.capabilities;
 * console.log(description, software, subgroupSize, limits.maxStorageBufferBindingSize / 2 ** 20, 'MiB');
 */
export interface Capabilities extends AdapterIdentity {
  /** A CPU implementation (SwiftShader or lavapipe), or to be taken for one. Loads are dear there, workgroup memory gains nothing. */
  readonly software: boolean;
  readonly features: ReadonlySet<Feature>;
  /** Lanes of a subgroup; 0 where subgroups are missing or their size is not fixed. */
  readonly subgroupSize: number;
  /** Present on devices that were opened with `subgroupMatrices` and have them. */
  readonly subgroupMatrix?: SubgroupMatrix | undefined;
  /** Floating-point operations of one dispatch at most, where a kernel can do its work in several. */
  readonly maxDispatchFlops: number;
  readonly limits: DeviceLimits;
  /** Choices of kernels that were measured on this adapter. */
  readonly tuning: TuningTable;
}

/** What a kernel chose, by a key of its own. Only the kernel knows what it means. */
export type TuningTable = Readonly<Record<string, object>>;

export interface DeviceLimits {
  /** Bytes. */
  readonly maxBufferSize: number;
  /** Bytes. */
  readonly maxStorageBufferBindingSize: number;
  /** Bytes. */
  readonly maxComputeWorkgroupStorageSize: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupsPerDimension: number;
  readonly maxStorageBuffersPerShaderStage: number;
  /** Bytes of immediate data; 0 where immediates are missing. */
  readonly maxImmediateSize: number;
}

export const LIMIT_NAMES = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBuffersPerShaderStage',
  'maxImmediateSize',
] as const satisfies readonly (keyof DeviceLimits)[];

/** Whether an adapter computes on the CPU. */
export function isSoftware(
  info: Pick<AdapterIdentity, 'architecture' | 'description'> & { readonly isFallbackAdapter?: boolean },
): boolean {
  const { isFallbackAdapter = false, architecture, description } = info;
  return (
    isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|software/i.test(`${architecture} ${description}`)
  );
}

export function identify(info: GPUAdapterInfo): AdapterIdentity {
  const { vendor, architecture, description, device } = info;
  return { vendor, architecture, description: description || device || 'unknown adapter' };
}

/** What is not the device's to say. */
export interface Choices {
  /** See `GpuOptions.deviceClass`. */
  readonly deviceClass?: 'software' | 'gpu' | undefined;
  readonly maxDispatchFlops: number;
  readonly tuning: TuningTable;
}

/** Reads a device's capabilities. `languageFeatures` are those of `gpu.wgslLanguageFeatures`. */
export function readCapabilities(
  info: GPUAdapterInfo,
  device: GPUDevice,
  languageFeatures: ReadonlySet<string>,
  { deviceClass, maxDispatchFlops, tuning }: Choices,
): Capabilities {
  const given = device.limits as unknown as Partial<Record<keyof DeviceLimits, number>>;
  const limits = Object.fromEntries(
    LIMIT_NAMES.map((name) => [name, given[name] ?? 0]),
  ) as unknown as DeviceLimits;
  const features = new Set<Feature>();
  for (const feature of ['shader-f16', 'subgroups', 'timestamp-query'] as const) {
    if (device.features.has(feature)) features.add(feature);
  }
  if (languageFeatures.has('immediate_address_space') && limits.maxImmediateSize >= 64)
    features.add('immediates');
  const fixedSubgroups = features.has('subgroups') && info.subgroupMinSize === info.subgroupMaxSize;
  return {
    ...identify(info),
    software: deviceClass ? deviceClass === 'software' : isSoftware(info),
    features,
    subgroupSize: fixedSubgroups ? info.subgroupMinSize : 0,
    maxDispatchFlops,
    limits,
    tuning,
  };
}
