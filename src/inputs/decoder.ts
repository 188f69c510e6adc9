// Tokens back to text: the decoder of tokenizer.json, put right where the library departs from the Rust crate.

import { BYTE_CHARACTERS } from './pre-tokenizer.ts';
import type { LibraryDecoder } from './tokenizer-library.ts';

/** Replaces the decoding steps in which the library departs from the crate. */
export function repairDecoder(decoder: LibraryDecoder): void {
  decoder.decoders?.forEach(repairDecoder);
  const { type, replacement = '▁', prepend_scheme: scheme = 'always' } = decoder.config;
  if (type === 'ByteFallback') decoder.decode_chain = fuseByteTokens;
  if (type === 'ByteLevel') decoder.decode_chain = (tokens) => [textOfBytes(tokens)];
  if (type === 'Metaspace') {
    // Of the first token the crate drops every ▁, or none where none is put before a text.
    decoder.decode_chain = (tokens) =>
      tokens.map((token, index) =>
        token.replaceAll(replacement, index === 0 && scheme !== 'never' ? '' : ' '),
      );
  }
}

const BYTES: ReadonlyMap<string, number> = new Map(
  BYTE_CHARACTERS.map((character, byte) => [character, byte]),
);

/** The crate makes bytes of added tokens as well, where all of their characters stand for some. */
function textOfBytes(tokens: readonly string[]): string {
  const bytes = tokens.flatMap((token) => {
    const own = Array.from(token, (character) => BYTES.get(character));
    return own.every((byte) => byte !== undefined) ? own : [...new TextEncoder().encode(token)];
  });
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

/**
 * The crate turns a run of byte tokens that is not valid UTF-8 into one U+FFFD per byte; the library's TextDecoder
 * keeps the valid part of the run, makes fewer marks of the rest, and drops a byte order mark.
 */
function fuseByteTokens(tokens: string[]): string[] {
  const result: string[] = [];
  let run: number[] = [];
  const endRun = () => {
    if (run.length > 0) result.push(decodeUtf8(run) ?? '\ufffd'.repeat(run.length));
    run = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
    if (byte) {
      run.push(Number.parseInt(byte, 16));
    } else {
      endRun();
      result.push(token);
    }
  }
  endRun();
  return result;
}

function decodeUtf8(bytes: readonly number[]): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
  } catch {
    return undefined;
  }
}
