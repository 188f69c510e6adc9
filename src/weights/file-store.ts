// What has been read of remote files, kept for the next visit. Only the interface is here: where there is a place for it
// differs (`opfsStore` of browsers).

/** A file on a server, in one of its versions. */
export interface StoredFile {
  /** The folder's address: `https://huggingface.co/owner/name`, or the URL of a folder on a web server. */
  readonly folder: string;
  /** Path in the folder, with `/` between names. */
  readonly path: string;
  /** Bytes of the whole file. */
  readonly size: number;
  /** What tells this version from others: its hash on the hub, elsewhere the server's ETag or date. */
  readonly tag: string;
}

/** The parts of one file that are kept. */
export interface KeptParts {
  /** Whether these bytes are kept as one part, as far as is known without reading them. */
  has(begin: number, end: number): boolean;
  /** Bytes `begin` to `end` (exclusive), if they are kept, whole and as they were written. */
  read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Keeps a part that begins at byte `begin`. @returns false if it cannot be kept, for want of room for example */
  write(begin: number, bytes: Uint8Array<ArrayBuffer>): Promise<boolean>;
}

/** A file of which something is kept. */
export interface StoredListing extends StoredFile {
  /** Bytes that are kept; all of them if it equals `size`. */
  readonly kept: number;
}

export interface FileStore {
  /**
   * What is kept of a file.
   *
   * @param replaces delete what is kept of other versions: they cannot be had any more (on the hub they can, as revisions)
   */
  open(file: StoredFile, replaces: boolean): Promise<KeptParts>;
  list(): Promise<StoredListing[]>;
  /** Deletes what is kept of a folder's files, of all versions; without a folder, everything. */
  delete(folder?: string): Promise<void>;
}
