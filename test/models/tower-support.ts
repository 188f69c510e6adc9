// A small tower with random weights, for tests of what towers do.

import type { Work } from '../../src/gpu/index.ts';
import { type BlockWeights, Sequence, Tower, type TowerConfig } from '../../src/models/tower/index.ts';
import { uploadVector, uploadWeight } from '../kernels/support.ts';
import { Random } from '../support/random.ts';

export const CONFIG: TowerConfig = {
  name: 'tower',
  layers: 3,
  width: 12,
  heads: 4,
  keyHeads: 2,
  headSize: 6,
  mlpWidth: 16,
  activation: 'silu',
  norm: 'before',
  causal: true,
  rotary: undefined,
};

/** The tower and its weights as rows. */
export function randomTower(w: Work) {
  const random = new Random(7);
  const { layers, width, heads, keyHeads, headSize, mlpWidth } = CONFIG;
  const matrix = (rows: number, columns: number) => random.matrix(rows, columns, { spread: 0.6 });
  const plain = Array.from({ length: layers }, () => ({
    queryKeyValue: matrix((heads + 2 * keyHeads) * headSize, width),
    output: matrix(width, heads * headSize),
    norm: random.vector(width),
    input: matrix(mlpWidth, width),
    hidden: matrix(width, mlpWidth),
    mlpNorm: random.vector(width),
  }));
  const one = (x: Float32Array<ArrayBuffer>[]) => ({ weight: uploadWeight(w, x), bias: undefined });
  const norm = (scale: Float32Array) => ({ scale: uploadVector(w, scale), eps: 1e-6 });
  const blocks = plain.map(
    (block): BlockWeights => ({
      attention: {
        queryKeyValue: one(block.queryKeyValue),
        output: one(block.output),
        norm: norm(block.norm),
      },
      mlp: { input: one(block.input), output: one(block.hidden), norm: norm(block.mlpNorm) },
    }),
  );
  return { tower: new Tower(CONFIG, blocks), plain };
}

/** A run with a row for every position. */
export function rootRun(length: number): Sequence {
  const run = new Sequence(length);
  for (let p = 0; p < length; p++) run.rows[p] = p;
  return run;
}
