// Random numbers that a seed fixes for ever: the generator is part of what makes a run repeatable, so it is
// written out here and no dependency's update can change a published result.

import { checkFinite, checkWhole } from './check.ts';

/** A stream of random numbers. */
export interface Random {
  /** 32 random bits. */
  uint32(): number;
  /** Uniform in [0, 1), a multiple of 2^-53. */
  next(): number;
  /** Uniform in 0 … count − 1, without modulo bias. `count` is an integer from 1 to 2^32. */
  integer(count: number): number;
  /** Standard normal (Box–Muller). */
  normal(): number;
  /** The items in random order; the argument stays as it is. */
  shuffle<T>(items: readonly T[]): T[];
  /** `count` different items in random order, without replacement. */
  sample<T>(items: readonly T[], count: number): T[];
}

/**
 * The stream of a seed. Different texts give unrelated streams, so `seeded(`${seed}/noise/${pair.id}`)` makes what
 * happens to one pair independent of all others; a number counts as its decimal text.
 */
export function seeded(seed: number | string): Random {
  if (typeof seed !== 'string') checkFinite(seed, 'seed');
  const next = splitMix64(fnv1a64(String(seed)));
  const [a, b] = [next(), next()];
  return fromState([a, a >> 32n, b, b >> 32n].map((word) => Number(word & 0xffffffffn)));
}

/**
 * xoshiro128** 1.1 (Blackman and Vigna, 2018; public domain).
 * @param state four 32-bit words, not all zero
 */
export function fromState(state: readonly number[]): Random {
  const s = Uint32Array.from(state) as Uint32Array & { [word in 0 | 1 | 2 | 3]: number };

  const uint32 = (): number => {
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotateLeft(s[3], 11);
    return result;
  };

  const next = (): number => ((uint32() >>> 5) * 2 ** 26 + (uint32() >>> 6)) * 2 ** -53;

  const integer = (count: number): number => {
    checkWhole(count, 'count', { from: 1, to: 2 ** 32 });
    const limit = 2 ** 32 - (2 ** 32 % count);
    let bits = uint32();
    while (bits >= limit) bits = uint32();
    return bits % count;
  };

  const sample = <T>(items: readonly T[], count: number): T[] => {
    checkWhole(count, 'the number of items of a sample without replacement', { to: items.length });
    // Fisher–Yates, stopped when enough places are filled.
    const pool = [...items];
    for (let i = 0; i < count; i++) {
      const j = i + integer(pool.length - i);
      [pool[i], pool[j]] = [pool[j] as T, pool[i] as T];
    }
    return pool.slice(0, count);
  };

  return {
    uint32,
    next,
    integer,
    // 1 − u is in (0, 1], so the logarithm is finite.
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    shuffle: (items) => sample(items, items.length),
    sample,
  };
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** FNV-1a of the UTF-8 bytes, 64 bits. */
export function fnv1a64(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash;
}

/** SplitMix64 (Steele, Lea and Flood, 2014), with which the authors of xoshiro fill its state. */
export function splitMix64(state: bigint): () => bigint {
  return () => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let z = state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  };
}
