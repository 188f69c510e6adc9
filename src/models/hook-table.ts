export interface HookInfo {
  readonly name: string;
  /** Dimensions without batch, numbers where they are fixed. */
  readonly shape: readonly (string | number)[];
  /** Module path in transformers, with what of it is meant. */
  readonly module: string;
  /** Made of another activation whenever it is asked for by name: to be read, not changed. */
  readonly derived?: true;
}
