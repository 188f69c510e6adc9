import { GpuValidationError } from './errors.ts';
import { guarded, type Verdict } from './faults.ts';
import type { Buffers, Pipeline } from './pipeline.ts';

/** Groups kept; a pass through a model needs some hundreds. */
const MOST_GROUPS = 4096;

/**
 * Bind groups by what they bind. Making one takes longer than all else in the recording of a kernel, and the pool hands
 * out the same buffers again and again. A group does not keep the memory of a destroyed buffer.
 */
export class BindGroupCache {
  readonly #device: GPUDevice;
  readonly #numbers = new WeakMap<GPUBuffer, number>();
  #nextNumber = 0;
  #groups = new WeakMap<Pipeline, Map<string, GPUBindGroup>>();
  #count = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /**
   * Group 0 of `pipeline` with those of `buffers` that it binds.
   *
   * @param onVerdict told what the device makes of a new group
   */
  get(pipeline: Pipeline, buffers: Buffers, onVerdict: (verdict: Verdict) => void): GPUBindGroup {
    let key = '';
    for (const name of pipeline.bindings) {
      const buffer = buffers[name];
      if (!buffer) throw new GpuValidationError(`${pipeline.source.name}: no buffer for its binding ${name}`);
      key += `${this.#numberOf(buffer)} `;
    }
    let group = this.#groups.get(pipeline)?.get(key);
    if (!group) {
      const made = this.#make(pipeline, buffers);
      onVerdict(made.verdict);
      group = made.value;
      this.#keep(pipeline, key, group);
    }
    return group;
  }

  #make({ source, bindings, layout }: Pipeline, given: Buffers) {
    const buffers = bindings.map((name) => given[name] as GPUBuffer);
    const refused = (message: string) =>
      new GpuValidationError(
        `${source.name}: WebGPU refused its buffers ${buffers.map(({ label }) => `"${label}"`).join(', ')}: ${message}`,
      );
    return guarded(this.#device, { validation: refused }, () =>
      this.#device.createBindGroup({
        label: source.name,
        layout,
        entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
      }),
    );
  }

  #keep(pipeline: Pipeline, key: string, group: GPUBindGroup): void {
    if (this.#count >= MOST_GROUPS) {
      this.#groups = new WeakMap();
      this.#count = 0;
    }
    let groups = this.#groups.get(pipeline);
    if (!groups) {
      groups = new Map();
      this.#groups.set(pipeline, groups);
    }
    groups.set(key, group);
    this.#count++;
  }

  #numberOf(buffer: GPUBuffer): number {
    let number = this.#numbers.get(buffer);
    if (number === undefined) {
      number = this.#nextNumber++;
      this.#numbers.set(buffer, number);
    }
    return number;
  }
}
