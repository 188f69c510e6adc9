import { expect, it } from 'vitest';
import { Tokenizer } from '../../src/inputs/index.ts';
import { fixturePath, readJsonFile } from './support.ts';

type Json = Record<string, unknown>;
type Result = readonly [ids: number[], ranges: readonly (readonly [number, number])[], decoded: string];

interface Form {
  readonly name: string;
  /** A fixture's folder; without one `patch` is the whole file. */
  readonly base: string | null;
  readonly patch: Json;
  readonly results: readonly Result[];
}

const { texts, forms } = readJsonFile<{ texts: string[]; forms: Form[] }>(
  fixturePath('tokenizer-forms/expected.json'),
);

/** As the fixture's script makes it. */
function tokenizerOf({ base, patch }: Form): Tokenizer {
  if (base === null) return Tokenizer.load({ tokenizer: JSON.stringify(patch) });
  const json = readJsonFile<Json>(fixturePath(`${base}/tokenizer.json`));
  const patched = {
    ...json,
    ...patch,
    model: { ...(json.model as Json), ...((patch.model as Json | undefined) ?? {}) },
    added_tokens: [...(json.added_tokens as Json[]), ...((patch.added_tokens as Json[] | undefined) ?? [])],
  };
  return Tokenizer.load({ tokenizer: JSON.stringify(patched) });
}

it.each(forms)('$name: ids, places and text as the Rust crate', (form) => {
  const tokenizer = tokenizerOf(form);
  const { byte_fallback, unk_token } = (form.patch.model ?? {}) as {
    byte_fallback?: boolean;
    unk_token?: null;
  };
  const drops = byte_fallback === false && unk_token === null;
  texts.forEach((text, index) => {
    const [ids, ranges, decoded] = form.results[index]!;
    expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
    const plain = tokenizer.encode(text, { specialTokens: false });
    expect(tokenizer.decode(plain, { skipSpecialTokens: false }), JSON.stringify(text)).toBe(decoded);
    const ours = tokenizer.encodeWithRanges(text).ranges.filter((range) => range !== undefined);
    expect(ours).toHaveLength(ranges.length);
    ours.forEach(({ start, end }, token) => {
      // The crate gives a ▁ that is only put before the place of the character after it.
      // Where it drops unknown characters, it counts the places behind them as if they had never been there.
      if (start < end && !drops)
        expect([start, end], `${JSON.stringify(text)} ${token}`).toEqual(ranges[token]);
    });
  });
});
