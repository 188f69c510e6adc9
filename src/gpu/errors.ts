import { NoticeError } from '../errors.ts';

/** No adapter, or none that can do what the kernels need. */
export class NoAdapterError extends NoticeError {
  override readonly name: string = 'NoAdapterError';
  constructor(message: string, options?: ErrorOptions) {
    super('adapter', message, options);
  }
}

/** The device went away: driver crash, time-out of the operating system, or `destroy()`. */
export class DeviceLostError extends NoticeError {
  override readonly name: string = 'DeviceLostError';
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(
      'device-lost',
      reason === 'destroyed'
        ? 'this Gpu was destroyed. Open a new one and load the model again.'
        : `The WebGPU device was lost (${reason}): ${message}. Open a new device and run again.`,
    );
    this.reason = reason;
  }
}

/** An allocation that the device or the pool's budget refused. Sizes are in bytes. */
export class OutOfMemoryError extends NoticeError {
  override readonly name: string = 'OutOfMemoryError';
  readonly requested: number;
  constructor(requested: number, message: string, options?: ErrorOptions) {
    super('out-of-memory', message, options);
    this.requested = requested;
  }
}

/** WGSL that does not compile, or constants that its pipeline refuses. */
export class ShaderError extends NoticeError {
  override readonly name: string = 'ShaderError';
  constructor(message: string, options?: ErrorOptions) {
    super('shader', message, options);
  }
}

/**
 * What the compiler says is wrong with a WGSL text, with the lines it speaks of.
 *
 * @param before lines of the text that stand before those that the reader knows
 */
export function compilerMessages(info: GPUCompilationInfo, text: string, before = 0): string {
  const lines = text.split('\n');
  return info.messages
    .filter(({ type }) => type === 'error')
    .map(({ message, lineNum }) => `line ${lineNum - before}: ${message}\n  ${lines[lineNum - 1] ?? ''}`)
    .join('\n');
}

/** What WebGPU had accepted and the driver of the GPU could not do: no defect of the caller. */
export class GpuDriverError extends NoticeError {
  override readonly name: string = 'GpuDriverError';
  constructor(message: string) {
    super('driver', `the GPU's driver failed: ${message}`);
  }
}

/** A command that WebGPU's validation refused: a defect of the caller. */
export class GpuValidationError extends NoticeError {
  override readonly name: string = 'GpuValidationError';
  constructor(message: string) {
    super('validation', message);
  }
}
