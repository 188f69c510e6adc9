// Weights of a fixture's model as the references compute with them.

import { nodeFolder } from '../../src/platform/node/files.ts';
import { asFloat32, readTensors } from '../../src/weights/index.ts';
import { type Matrix, toRows } from '../reference/index.ts';
import { fixture } from './golden.ts';

/** The matrix of a name; a vector is a matrix of one row. */
export type Weights = (name: string) => Matrix;

export async function weightsOf(folder: string): Promise<Weights> {
  const file = await nodeFolder(fixture(folder)).open('model.safetensors');
  if (!file) throw new Error(`${folder} has no weights`);
  const tensors = await readTensors(file);
  await file.close();
  return (name) => {
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`${folder} has no ${name}`);
    return toRows(asFloat32(tensor, name), tensor.shape.at(-1) as number);
  };
}

export function vectorOf(weights: Weights, name: string): ArrayLike<number> {
  return weights(name)[0] as ArrayLike<number>;
}
