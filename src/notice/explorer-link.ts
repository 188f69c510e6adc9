// Links to the explorer: what its page shows, as the part of an address behind the #. The page and the report write them alike.

/** Fields of a link; what is left out is as the page opens. */
export interface LinkFields {
  /** An embedded miniature by its name, or `owner/name@revision` on the Hugging Face hub. */
  readonly model?: string | undefined;
  /** Name of a model folder, for which the page asks. */
  readonly folder?: string | undefined;
  /** Storage type of the weights. */
  readonly dtype?: string | undefined;
  /** Name of an embedded pair, `scenes/002`. */
  readonly pair?: string | undefined;
  /** Any other pair as JSON; the page asks for its pictures. */
  readonly spec?: string | undefined;
  readonly corruption?: 'image' | 'text' | undefined;
  readonly metric?: string | undefined;
  /** Swept sites, comma-separated. */
  readonly sites?: string | undefined;
  /** What is pinned, as JSON. */
  readonly pins?: string | undefined;
  /** The view. */
  readonly tab?: string | undefined;
}

/** The part of an address behind `#`. Fields stand in the order in which they are given. */
export function linkHash(fields: LinkFields): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) search.set(name, value);
  return search.toString().replaceAll('%2F', '/').replaceAll('%3A', ':').replaceAll('%2C', ',');
}
