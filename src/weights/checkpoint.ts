// A model's weights: one safetensors file, or several shards with an index. Callers see tensors by name.

import type { ByteSource } from './byte-source.ts';
import { dtypeBytes, isDtype } from './dtype.ts';
import { WeightsError } from './errors.ts';
import { checkFileName, type ModelSource, readJson, why } from './model-source.ts';
import { openSafetensors, type SafetensorsFile, type TensorInfo } from './safetensors.ts';

const SINGLE_FILE = 'model.safetensors';
const INDEX_FILE = 'model.safetensors.index.json';

/** Part of a tensor's values as they are in the file. */
export interface TensorChunk {
  /** Bytes of the tensor before this chunk. */
  readonly offset: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export class Checkpoint {
  /** The model folder's name, for messages. */
  readonly name: string;
  readonly #files: readonly SafetensorsFile[];
  /** Which file holds which tensor. */
  readonly #homes: ReadonlyMap<string, SafetensorsFile>;
  /** Parts of tensors that have names of their own. */
  readonly #parts = new Map<string, { readonly file: SafetensorsFile; readonly info: TensorInfo }>();
  readonly #described = new Set<TensorInfo>();
  /** Called with the bytes of every chunk that is read, and the file's name. */
  onRead: ((bytes: number, file: string) => void) | undefined;

  /**
   * Opens model.safetensors or, if there is none, the shards of model.safetensors.index.json, and checks every header.
   *
   * @throws WeightsError for missing or damaged files, ModelFileError for an index that is not JSON
   */
  static async open(source: ModelSource): Promise<Checkpoint> {
    const single = await source.open(SINGLE_FILE);
    if (single) return Checkpoint.ofFile(single, source.name);
    const weightMap = await readIndex(source);
    const files = new Map<string, SafetensorsFile>();
    try {
      for (const shard of new Set(weightMap.values())) {
        const bytes = await source.open(shard);
        if (!bytes)
          throw new WeightsError(
            `${source.name}: the shard ${shard} is missing${await why(source, shard)}; ${INDEX_FILE} lists it`,
          );
        files.set(shard, await openFile(bytes));
      }
      const homes = new Map<string, SafetensorsFile>();
      for (const [name, shard] of weightMap) {
        const file = files.get(shard)!;
        if (!file.tensors.has(name))
          throw new WeightsError(
            `${file.source.name}: has no tensor "${name}"; ${INDEX_FILE} says it is there`,
          );
        homes.set(name, file);
      }
      return new Checkpoint(source.name, [...files.values()], homes);
    } catch (error) {
      await Promise.all(Array.from(files.values(), (file) => file.source.close()));
      throw error;
    }
  }

  /**
   * The tensors of one safetensors file.
   *
   * @param name for messages
   * @throws WeightsError if it is damaged; it is closed then
   */
  static async ofFile(source: ByteSource, name = source.name): Promise<Checkpoint> {
    const file = await openFile(source);
    return new Checkpoint(name, [file], new Map(Array.from(file.tensors.keys(), (tensor) => [tensor, file])));
  }

  private constructor(
    name: string,
    files: readonly SafetensorsFile[],
    homes: ReadonlyMap<string, SafetensorsFile>,
  ) {
    this.name = name;
    this.#files = files;
    this.#homes = homes;
  }

  get names(): readonly string[] {
    return [...this.#homes.keys()];
  }

  /** What the first file says of itself beside its tensors. */
  get metadata(): Readonly<Record<string, string>> {
    return this.#files[0]?.metadata ?? {};
  }

  has(name: string): boolean {
    return this.#homes.has(name);
  }

  /** @throws WeightsError if there is no such tensor */
  info(name: string): TensorInfo {
    const info = this.#parts.get(name)?.info ?? this.#home(name).tensors.get(name)!;
    this.#described.add(info);
    return info;
  }

  /**
   * Gives equal parts of a tensor, by rows, names of their own, for modules that are one tensor in the file.
   *
   * @throws WeightsError if there is no such tensor, or its rows cannot be shared out
   */
  split(name: string, parts: readonly string[]): void {
    const file = this.#home(name);
    const whole = file.tensors.get(name)!;
    const [rows = 0, ...rest] = whole.shape;
    if (rows % parts.length !== 0)
      throw new WeightsError(
        `${whole.file}: tensor "${name}" [${whole.shape.join(', ')}] has no ${parts.length} equal parts`,
      );
    const bytes = (whole.end - whole.begin) / parts.length;
    parts.forEach((part, i) => {
      const begin = whole.begin + i * bytes;
      const info = { ...whole, name: part, shape: [rows / parts.length, ...rest], begin, end: begin + bytes };
      this.#parts.set(part, { file, info });
    });
  }

  /** Bytes of all tensors that {@link info} was asked for: those that a model reads, once it has been planned. */
  get describedBytes(): number {
    let bytes = 0;
    for (const { begin, end } of this.#described) bytes += end - begin;
    return bytes;
  }

  /**
   * A tensor's values in order, at most `maxBytes` at a time; chunks hold whole elements.
   *
   * @throws WeightsError if there is no such tensor, or reading fails
   */
  async *chunks(name: string, maxBytes: number): AsyncGenerator<TensorChunk, void, undefined> {
    const { begin, end, dtype } = this.info(name);
    const { source } = this.#home(name);
    if (!isDtype(dtype))
      throw new WeightsError(`${source.name}: tensor "${name}" is ${dtype}, which is not read`);
    const element = dtypeBytes(dtype);
    const step = Math.max(element, maxBytes - (maxBytes % element));
    for (let at = begin; at < end; at += step) {
      const bytes = await source.read(at, Math.min(step, end - at));
      this.onRead?.(bytes.length, source.name);
      yield { offset: at - begin, bytes };
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#files.map((file) => file.source.close()));
  }

  #home(name: string): SafetensorsFile {
    const file = this.#parts.get(name)?.file ?? this.#homes.get(name);
    if (!file)
      throw new WeightsError(
        `${this.name}: the weights have no tensor "${name}". Do config.json and the weights belong to the same model?`,
      );
    return file;
  }
}

/** Closes the file if it is not in order. */
async function openFile(source: ByteSource): Promise<SafetensorsFile> {
  try {
    return await openSafetensors(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

/**
 * The shards that a folder's index names, each once.
 *
 * @throws WeightsError, ModelFileError: no index, or a damaged one
 */
export async function shardNames(source: ModelSource): Promise<string[]> {
  return [...new Set((await readIndex(source)).values())];
}

/** Tensor name → shard's file name. */
async function readIndex(source: ModelSource): Promise<Map<string, string>> {
  const probe = await source.open(INDEX_FILE);
  if (!probe)
    throw new WeightsError(
      `${source.name} has neither ${SINGLE_FILE} nor ${INDEX_FILE}${await why(source, SINGLE_FILE)}. Weights in other formats (.bin, .pt) are not read; convert them to safetensors.`,
    );
  await probe.close();
  const index = await readJson(source, INDEX_FILE, { uniqueKeys: true });
  const weightMap = (index as { weight_map?: unknown } | null)?.weight_map;
  if (typeof weightMap !== 'object' || weightMap === null || Array.isArray(weightMap))
    throw new WeightsError(
      `${source.name}/${INDEX_FILE} has no weight_map, the object from tensor to file name`,
    );
  return new Map(
    Object.entries(weightMap).map(([name, shard]: [string, unknown]) => {
      if (typeof shard !== 'string')
        throw new WeightsError(
          `${source.name}/${INDEX_FILE}: weight_map has ${JSON.stringify(shard)} for "${name}", expected a file name`,
        );
      checkFileName(shard, source.name);
      return [name, shard];
    }),
  );
}
