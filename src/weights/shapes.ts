// Whether tensors of a file, joined, have the size that a model asks for.

import { WeightsError } from './errors.ts';
import { elementCount, type TensorInfo } from './safetensors.ts';

/** Names of tensors that are joined. */
export function joinedName(infos: readonly TensorInfo[]): string {
  return infos.map((info) => info.name).join(' + ');
}

/** Throws unless the tensors, one below the other, are a matrix of this size. */
export function checkMatrix(infos: readonly TensorInfo[], rows: number, columns: number): void {
  const counts = infos.map((info) => rowsOf(info.shape, columns));
  const complete = counts.every((count) => count !== undefined);
  if (!complete || sum(counts) !== rows || rows === 0 || columns === 0)
    throw misfit(infos, `a matrix [${rows}, ${columns}]`);
}

/** Rows of a tensor whose last dimensions multiply to `columns`; undefined if none do. */
function rowsOf(shape: readonly number[], columns: number): number | undefined {
  let inner = 1;
  for (let axis = shape.length; axis >= 0; axis--) {
    if (inner === columns) return elementCount(shape.slice(0, axis));
    inner *= shape[axis - 1] ?? 0;
  }
  return undefined;
}

/** Tensors that do not have the size that config.json gives them. */
export function misfit(infos: readonly TensorInfo[], expected: string): WeightsError {
  const found = infos.map(({ name, shape }) => `"${name}" [${shape.join(', ')}]`).join(', ');
  return new WeightsError(
    `${infos[0]?.file}: expected ${expected}${infos.length > 1 ? ' from these tensors together' : ''}, found ${found}. ` +
      'Do config.json and the weights belong to the same model?',
  );
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
