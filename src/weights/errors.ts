import { NoticeError } from '../errors.ts';

/** A weight file that is missing, damaged, unreadable, or does not fit the model. */
export class WeightsError extends NoticeError {
  override readonly name: string = 'WeightsError';
  constructor(message: string, options?: ErrorOptions) {
    super('weights', message, options);
  }
}

/** A file of a model folder that is missing or is not the text it should be. */
export class ModelFileError extends NoticeError {
  override readonly name: string = 'ModelFileError';
  constructor(message: string, options?: ErrorOptions) {
    super('config', message, options);
  }
}
