import { NoticeError } from '../../errors.ts';
import type { Drop } from './report.ts';

/** A data set, manifest or image that cannot be used. `problems` lists every row or file at fault, where there are several. */
export class DataError extends NoticeError {
  override readonly name: string = 'DataError';
  readonly problems: readonly Drop[];

  constructor(message: string, options?: ErrorOptions & { problems?: readonly Drop[] }) {
    super('data', message, options);
    this.problems = options?.problems ?? [];
  }
}
