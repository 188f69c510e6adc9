// What the tests of patching share: jobs on the fixtures' cases, and pieces of activations by their indices.

import { expect } from 'vitest';
import { NoticeError } from '../../src/errors.ts';
import type { Gpu } from '../../src/gpu/index.ts';
import type { ImageInput, Sample } from '../../src/models/index.ts';
import type { SweepJob, SweepSite } from '../../src/patching/index.ts';
import type { Golden } from '../support/golden.ts';

/** A case of the fixtures as a job. In text cases both runs have the same image object. */
export function caseJob(golden: Golden, id: string, sites: readonly SweepSite[]): SweepJob {
  const found = golden.cases.find((c) => c.id === id);
  if (!found) throw new Error(`no case ${id}`);
  const clean = golden.sample(id, 'clean');
  const corrupt = golden.sample(id, 'corrupt');
  return {
    clean,
    corrupt: found.mode === 'text' ? { ...corrupt, images: clean.images } : corrupt,
    correct: found.correct_token,
    incorrect: found.incorrect_token,
    sites,
  };
}

/** Prompts of one length with different tokens and images. */
export function sameLengthSamples(golden: Golden, count: number): Sample[] {
  const { ids } = golden.sample('case0', 'clean');
  const images = golden.cases.flatMap(({ id }) => [golden.image(id, 'clean'), golden.image(id, 'corrupt')]);
  return Array.from({ length: count }, (_, i) => ({
    images: [images[i % images.length] as ImageInput],
    ids: ids.map((id, p) => (p === 0 ? id : ids[1 + ((p + i) % (ids.length - 1))]) as number),
  }));
}

/** Fails unless `work` throws an error of this code whose message matches. */
export async function expectNoticeError(
  work: () => Promise<unknown>,
  code: NoticeError['code'],
  message: RegExp | string,
): Promise<void> {
  const error = await work().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error, 'it went through').toBeInstanceOf(NoticeError);
  expect((error as NoticeError).message).toMatch(message);
  expect((error as NoticeError).code).toBe(code);
}

/** Fails if `work` leaves GPU memory in use, whether it throws or not. */
export async function withoutLeak<T>(gpu: Gpu, work: () => Promise<T>): Promise<T> {
  const before = gpu.pool.statistics.usedBytes;
  try {
    return await work();
  } finally {
    expect(gpu.pool.statistics.usedBytes, 'bytes in use afterwards').toBe(before);
  }
}

/** An activation of a batch on the host, read by what its indices mean. */
export class HostActivation {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;

  constructor(name: string, shape: readonly number[], data: Float32Array) {
    this.name = name;
    this.shape = shape;
    this.data = data;
  }

  /** [head, query, key] rather than [position, head, feature]. */
  get byKey(): boolean {
    return /hook_(attn_scores|pattern)$/.test(this.name);
  }

  get positions(): number {
    if (this.name === 'logits') return 1;
    return this.shape[this.byKey ? 2 : 1] as number;
  }

  get heads(): number {
    if (this.byKey) return this.shape[1] as number;
    return this.shape.length === 4 ? (this.shape[2] as number) : 1;
  }

  /** Features of a head, or keys. */
  get size(): number {
    return this.shape.at(-1) as number;
  }

  index(batch: number, position: number, head: number, feature: number): number {
    const { positions, heads, size } = this;
    const row = this.byKey
      ? (batch * heads + head) * positions + position
      : (batch * positions + position) * heads + head;
    return row * size + feature;
  }

  /** One batch row, in the order of the shape. */
  row(batch: number): Float32Array {
    const length = this.data.length / (this.shape[0] as number);
    return this.data.slice(batch * length, (batch + 1) * length);
  }

  copy(): HostActivation {
    return new HostActivation(this.name, this.shape, this.data.slice());
  }
}
