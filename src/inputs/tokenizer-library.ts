import { Tokenizer } from '@huggingface/tokenizers';

// The package's own declarations import each other without file extensions, which Node's module rules do not
// resolve: to TypeScript everything in it is `any`. Here is what is used of it, as declared there.

/** One step of a decoder. */
export interface LibraryDecoder {
  readonly config: { readonly type: string };
  /** Of a Sequence. */
  readonly decoders?: readonly LibraryDecoder[];
  decode_chain(tokens: string[]): string[];
}

export interface LibraryTokenizer {
  readonly normalizer: { (text: string): string; normalize(text: string): string } | null;
  readonly pre_tokenizer: ((text: string) => string[]) | null;
  readonly model: {
    (words: string[]): string[];
    readonly config: { readonly continuing_subword_prefix?: string | null };
    readonly unk_token_id?: number;
  };
  readonly post_processor: {
    post_process(tokens: string[], pair: null, addSpecialTokens: boolean): { tokens: string[] };
  } | null;
  readonly decoder: LibraryDecoder | null;
  encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[]; tokens: string[] };
  decode(
    ids: number[],
    options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
  ): string;
  /** Tokens without those of the template. */
  tokenize(text: string): string[];
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_added_tokens_decoder(): Map<number, { readonly content: string }>;
}

/** From parsed tokenizer.json and tokenizer_config.json. Throws an Error for what it does not know. */
export function createLibraryTokenizer(tokenizer: unknown, config: unknown): LibraryTokenizer {
  return new Tokenizer(tokenizer, config);
}
