import { Tokenizer } from '@huggingface/tokenizers';

// The package's own declarations import each other without file extensions, which Node's module rules do not
// resolve: to TypeScript everything in it is `any`. Here is what is used of it, as declared there.

/** One step of a decoder. */
export interface LibraryDecoder {
  readonly config: {
    readonly type: string;
    /** Of a Metaspace decoder. */
    readonly replacement?: string;
    readonly prepend_scheme?: string;
  };
  /** Of a Sequence. */
  readonly decoders?: readonly LibraryDecoder[];
  decode_chain(tokens: string[]): string[];
}

export interface LibraryPreTokenizer {
  (text: string): string[];
  /** Of a Sequence. */
  readonly tokenizers?: readonly (LibraryPreTokenizer | null)[];
  /** Of a Split: null for a pattern of neither kind. */
  readonly pattern?: RegExp | null;
}

export interface LibraryTokenizer {
  readonly normalizer: ((text: string) => string) | null;
  readonly pre_tokenizer: LibraryPreTokenizer | null;
  readonly model: {
    (words: string[]): string[];
    /** The model of tokenizer.json. */
    readonly config: {
      readonly type?: string;
      readonly continuing_subword_prefix?: string | null;
      readonly end_of_word_suffix?: string | null;
      readonly byte_fallback?: boolean;
      readonly fuse_unk?: boolean;
    };
    readonly tokens_to_ids: Map<string, number>;
    /** By id, added tokens among them. */
    readonly vocab: string[];
    readonly unk_token?: string | null;
    readonly unk_token_id?: number;
  };
  readonly post_processor: {
    post_process(tokens: string[], pair: null, addSpecialTokens: boolean): { tokens: string[] };
  } | null;
  readonly decoder: LibraryDecoder | null;
  decode(
    ids: number[],
    options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
  ): string;
  id_to_token(id: number): string | undefined;
}

/** From parsed tokenizer.json and tokenizer_config.json. Throws an Error for what it does not know. */
export function createLibraryTokenizer(tokenizer: unknown, config: unknown): LibraryTokenizer {
  return new Tokenizer(tokenizer, config);
}
