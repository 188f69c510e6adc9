import { compilerMessages, GpuDriverError, ShaderError } from './errors.ts';
import { guarded, type Verdict } from './faults.ts';
import { MAX_PARAM_BYTES, type ParamLayout } from './params.ts';

/**
 * The storage buffers of a kernel's group 0 by the names that its WGSL gives them, in the order of their numbers. Optional
 * are those that some kernels of a shader go without.
 */
export type BindingLayout = Readonly<Record<string, 'read' | 'read_write' | undefined>>;
export type Buffers<B extends BindingLayout = BindingLayout> = { readonly [Name in keyof B]: GPUBuffer };

/** One kernel: WGSL text with what the host has to know of it. */
export interface KernelSource<B extends BindingLayout = BindingLayout, L extends ParamLayout = ParamLayout> {
  readonly name: string;
  /**
   * WGSL with `@group(0)` storage buffers numbered from 0, `struct Params { … }` but no variable for it:
   * `params` is declared by the device, as immediate data where it exists and as a uniform buffer elsewhere.
   */
  readonly code: string;
  readonly bindings: B;
  /** Fields of `struct Params`, in order. */
  readonly params: L;
  /** Extensions to enable, for example `subgroups`. */
  readonly enable?: readonly string[];
  /** Values of the shader's `override` constants. */
  readonly constants?: Readonly<Record<string, number>>;
}

/** A compiled kernel. */
export interface Pipeline {
  readonly source: KernelSource;
  /** Names of `source.bindings`. */
  readonly bindings: readonly string[];
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** A ShaderError if it did not compile. Every work that uses the kernel watches it; gone once all is known to be well. */
  verdict: Verdict | undefined;
}

const COMPUTE = 4; // GPUShaderStage.COMPUTE

export class PipelineCache {
  /** Whether kernels that are expected are compiled before the next work begins. */
  readonly compilesAhead: boolean;
  readonly #device: GPUDevice;
  readonly #immediates: boolean;
  readonly #paramsLayout: GPUBindGroupLayout;
  readonly #pipelines = new Map<string, Pipeline>();
  /** Finds a pipeline without comparing texts: kernels keep their source objects. */
  readonly #bySource = new WeakMap<object, Pipeline>();
  readonly #expected = new Set<KernelSource>();
  #coming: Promise<unknown> = Promise.resolve();

  constructor(
    device: GPUDevice,
    immediates: boolean,
    paramsLayout: GPUBindGroupLayout,
    compilesAhead: boolean,
  ) {
    this.#device = device;
    this.#immediates = immediates;
    this.#paramsLayout = paramsLayout;
    this.compilesAhead = compilesAhead;
  }

  /** Takes note of a kernel that is soon to be used. */
  expect(source: KernelSource): void {
    if (this.compilesAhead && !this.#bySource.has(source)) this.#expected.add(source);
  }

  /**
   * Compiles what is expected, side by side and away from this thread, and waits for it. It never rejects: what does not
   * compile is left to {@link get}.
   */
  async ready(): Promise<void> {
    const sources = [...this.#expected];
    this.#expected.clear();
    if (sources.length > 0)
      this.#coming = Promise.all([this.#coming, ...sources.map((source) => this.#compileAhead(source))]);
    await this.#coming;
  }

  /**
   * Compiles a kernel, or returns it from the cache. The key is the whole text with its constants. The pipeline is there
   * at once and may turn out not to compile.
   */
  get(source: KernelSource): Pipeline {
    const known = this.#bySource.get(source);
    if (known) return known;
    const key = keyOf(source);
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      pipeline = this.#compile(source);
      this.#pipelines.set(key, pipeline);
    }
    this.#bySource.set(source, pipeline);
    return pipeline;
  }

  #compile(source: KernelSource): Pipeline {
    const text = this.text(source);
    const refused = async (message: string) => {
      const lines = compilerMessages(await made.value.module.getCompilationInfo(), text);
      return new ShaderError(`the kernel ${source.name} does not compile\n${lines || message}`);
    };
    const failed = (message: string) =>
      new GpuDriverError(`it cannot compile the kernel ${source.name}: ${message}`);
    const made = guarded(this.#device, { validation: refused, internal: failed }, () => {
      const { module, layout, descriptor } = this.#parts(source);
      return { module, layout, pipeline: this.#device.createComputePipeline(descriptor) };
    });
    const { layout, pipeline } = made.value;
    const compiled = pipelineOf(source, layout, pipeline, made.verdict);
    void made.verdict.then((error) => {
      if (!error) compiled.verdict = undefined;
    });
    return compiled;
  }

  async #compileAhead(source: KernelSource): Promise<void> {
    const key = keyOf(source);
    if (this.#pipelines.has(key)) return;
    const ignored = () => new ShaderError(source.name);
    try {
      const { value } = guarded(this.#device, { validation: ignored, internal: ignored }, () => {
        const { layout, descriptor } = this.#parts(source);
        return { layout, pipeline: this.#device.createComputePipelineAsync(descriptor) };
      });
      const pipeline = await value.pipeline;
      if (!this.#pipelines.has(key))
        this.#pipelines.set(key, pipelineOf(source, value.layout, pipeline, undefined));
    } catch {
      // Compiled once more when it is used, where the error belongs.
    }
  }

  #parts(source: KernelSource) {
    const bytes = 4 * Object.keys(source.params).length;
    if (bytes > MAX_PARAM_BYTES) {
      throw new ShaderError(
        `${source.name}: ${bytes} bytes of parameters, at most ${MAX_PARAM_BYTES} are allowed`,
      );
    }
    const device = this.#device;
    const module = device.createShaderModule({ label: source.name, code: this.text(source) });
    const layout = device.createBindGroupLayout({
      label: source.name,
      entries: Object.values(source.bindings).map((access, binding) => ({
        binding,
        visibility: COMPUTE,
        buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
      })),
    });
    const descriptor: GPUComputePipelineDescriptor = {
      label: source.name,
      layout: this.#layout(layout, bytes),
      compute: { module, entryPoint: 'main', constants: source.constants ?? {} },
    };
    return { module, layout, descriptor };
  }

  #layout(buffers: GPUBindGroupLayout, paramBytes: number): GPUPipelineLayout {
    return this.#immediates
      ? this.#device.createPipelineLayout({
          bindGroupLayouts: [buffers],
          immediateSize: Math.ceil(paramBytes / 16) * 16,
        } as GPUPipelineLayoutDescriptor)
      : this.#device.createPipelineLayout({ bindGroupLayouts: [buffers, this.#paramsLayout] });
  }

  /** The WGSL that is compiled: extensions, the kernel's text, and the declaration of `params`. */
  text(source: KernelSource): string {
    const head = (source.enable ?? []).map((name) => `enable ${name};\n`).join('');
    if (Object.keys(source.params).length === 0) return head + source.code;
    return this.#immediates
      ? `${head}requires immediate_address_space;\n${source.code}\nvar<immediate> params: Params;\n`
      : `${head}${source.code}\n@group(1) @binding(0) var<uniform> params: Params;\n`;
  }
}

function keyOf({ name, constants = {}, enable = [], code }: KernelSource): string {
  return `${name}\n${JSON.stringify(constants)}\n${enable.join()}\n${code}`;
}

function pipelineOf(
  source: KernelSource,
  layout: GPUBindGroupLayout,
  pipeline: GPUComputePipeline,
  verdict: Verdict | undefined,
): Pipeline {
  return { source, bindings: Object.keys(source.bindings), pipeline, layout, verdict };
}
