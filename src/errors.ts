// Every error a user of the library can cause or meet derives from NoticeError, so that one `instanceof`
// separates "say what is wrong and stop" from a defect of the library itself.

/** What went wrong, in one word that programs can compare. */
export type ErrorCode =
  | 'adapter' // no usable WebGPU adapter
  | 'device-lost'
  | 'out-of-memory'
  | 'shader' // WGSL that does not compile, or a pipeline that the device refuses
  | 'validation' // WebGPU refused a command
  | 'driver' // the GPU's driver failed at what WebGPU had accepted
  | 'shape' // a tensor, batch or patch of the wrong shape
  | 'weights' // a weight file that is missing, damaged or does not fit the model
  | 'config' // a model folder that is incomplete or of an unsupported kind
  | 'image'
  | 'text'
  | 'file' // a file that cannot be written
  | 'network' // a server that cannot be reached or answers wrongly
  | 'data' // a data set or manifest row
  | 'hook' // unknown hook point, or an intervention that cannot apply there
  | 'not-finite' // a model that computes NaN or infinity
  | 'gradient' // an operator without a derivative
  | 'unfired' // an intervention that did not fire as often as asked
  | 'control' // a self-check of a sweep that failed
  | 'unfinished' // what others are to do before is not done yet; the same call goes on
  | 'interrupted' // told to end with work left; the same call goes on
  | 'usage'; // wrong options on the command line or in a call

/** Base class. The message names the object, what was expected, what was found, and where possible the cure. */
export class NoticeError extends Error {
  /** The class's, written out: minifying renames classes. */
  override readonly name: string = 'NoticeError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A tensor, batch or patch whose shape does not fit. */
export class ShapeError extends NoticeError {
  override readonly name: string = 'ShapeError';
  constructor(message: string, options?: ErrorOptions) {
    super('shape', message, options);
  }
}

/** Throws {@link ShapeError} unless `condition` holds. The message is built only on failure. */
export function checkShape(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new ShapeError(message());
}
