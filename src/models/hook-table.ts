export interface HookInfo {
  readonly name: string;
  /** Dimensions without batch, numbers where they are fixed. */
  readonly shape: readonly (string | number)[];
  /** Module path in transformers, with what of it is meant. */
  readonly module: string;
}
