// The language of headers is exactly the reference's. The fixture holds what the Rust crate made of every case; made
// anew, and compared case by case with all that it read, by
//
//   cargo build --release --manifest-path test/fixtures/safetensors/reference/Cargo.toml
//   SAFETENSORS_REFERENCE=test/fixtures/safetensors/reference/target/release/safetensors-verdicts \
//     npx vitest run --project node test/weights/reference-headers.test.ts
//
// With HEADER_SEED and HEADER_COUNT as well, other headers are compared and the fixture is left alone.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { memorySource, openSafetensors, WeightsError } from '../../src/weights/index.ts';
import { type HeaderCase, headerCases } from './header-generator.ts';
import { ODD_HEADERS } from './odd-headers.ts';
import { fixture, rawFile } from './support.ts';

const SEED = 8;
const COUNT = 10_000;
const FILE = fixture('safetensors', 'verdicts.json');

/** What a reader makes of a file: name, dtype, shape and place of each tensor, and the metadata. */
type Read = {
  readonly tensors: readonly (readonly [string, string, readonly string[], number, number])[];
  readonly metadata: readonly (readonly [string, string])[];
};

interface Verdicts {
  readonly reference: string;
  readonly odd: readonly (Read | null)[];
  readonly seed: number;
  /** A bit for each generated header, lowest first: accepted or not. */
  readonly accepted: string;
}

const fileOf = ({ header, data }: HeaderCase) => rawFile(header, data);

/** As the reference's program prints it; undefined if the file is refused. */
async function read(bytes: Uint8Array): Promise<Read | null> {
  try {
    const { tensors, metadata } = await openSafetensors(memorySource(bytes, 'file'));
    const dataBegin = 8 + new DataView(bytes.buffer).getUint32(0, true);
    const rows = Array.from(tensors.values(), ({ name, dtype, shape, begin, end }) => {
      return [name, dtype, shape.map(String), begin - dataBegin, end - dataBegin] as const;
    });
    return { tensors: rows, metadata: Object.entries(metadata) };
  } catch (error) {
    expect(error).toBeInstanceOf(WeightsError);
    expect((error as Error).message).toMatch(/^file: /);
    return null;
  }
}

/** In an order of their own, sizes rounded as ours are. */
function comparable(result: Read | null): unknown {
  if (!result) return null;
  const tensors = result.tensors.map(([name, dtype, shape, begin, end]) => {
    return JSON.stringify([begin, end, name, dtype, shape.map(Number)]);
  });
  return { tensors: tensors.sort(), metadata: result.metadata.map((pair) => JSON.stringify(pair)).sort() };
}

function askReference(program: string, cases: readonly HeaderCase[]): (Read | null)[] {
  const input = cases.map((each) => `${Buffer.from(fileOf(each)).toString('hex')}\n`).join('');
  const { stdout } = spawnSync(program, { input, maxBuffer: 1 << 30, encoding: 'utf8' });
  const lines = stdout.trimEnd().split('\n');
  return lines.map((line) => {
    const result = JSON.parse(line) as Read | { error: string };
    return 'error' in result ? null : result;
  });
}

function generated(seed: number, count: number): HeaderCase[] {
  const next = headerCases(seed);
  return Array.from({ length: count }, next);
}

const { SAFETENSORS_REFERENCE: program, HEADER_SEED, HEADER_COUNT } = process.env;
if (program) {
  it('agrees with the reference in all that is read, and writes the fixture', async () => {
    const others = generated(Number(HEADER_SEED ?? SEED), Number(HEADER_COUNT ?? COUNT));
    const cases = [...ODD_HEADERS.map(([, header, data]) => ({ header, data })), ...others];
    const expected = askReference(program, cases);
    for (const [index, each] of cases.entries())
      expect(comparable(await read(fileOf(each))), JSON.stringify(each)).toEqual(
        comparable(expected[index]!),
      );
    if (HEADER_SEED) return;
    const bits = new Uint8Array(COUNT / 8);
    expected.slice(ODD_HEADERS.length).forEach((result, index) => {
      if (result) bits[index >> 3]! |= 1 << (index & 7);
    });
    const verdicts: Verdicts = {
      reference: 'safetensors 0.8.0 (Rust), serde_json 1.0.154',
      odd: expected.slice(0, ODD_HEADERS.length),
      seed: SEED,
      accepted: Buffer.from(bits).toString('base64'),
    };
    writeFileSync(FILE, `${JSON.stringify(verdicts, null, 1)}\n`);
  });
}

const verdicts = JSON.parse(readFileSync(FILE, 'utf8')) as Verdicts;

it.each(ODD_HEADERS.map(([what, header, data], index) => ({ what, header, data, index })))(
  'reads or refuses as the reference does: $what',
  async ({ index, ...each }) => {
    expect(comparable(await read(fileOf(each)))).toEqual(comparable(verdicts.odd[index]!));
  },
);

it(`no verdict on ${COUNT} generated headers differs`, async () => {
  const bits = Buffer.from(verdicts.accepted, 'base64');
  const differing = [];
  let accepted = 0;
  for (const [index, each] of generated(SEED, COUNT).entries()) {
    const result = await read(fileOf(each));
    if (result) accepted++;
    if ((result !== null) !== ((bits[index >> 3]! >> (index & 7)) & 1) > 0) differing.push(each);
  }
  expect(differing).toEqual([]);
  expect(accepted).toBeGreaterThan(COUNT / 5);
  expect(accepted).toBeLessThan((COUNT * 4) / 5);
});
