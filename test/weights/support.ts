import { join } from 'node:path';
import type { Gpu } from '../../src/gpu/index.ts';
import type { Weight } from '../../src/kernels/weight.ts';
import {
  type ByteSource,
  type FileStore,
  type KeptParts,
  type ModelSource,
  memorySource,
  type StoredFile,
} from '../../src/weights/index.ts';

/** The path of a fixture. */
export function fixture(...path: string[]): string {
  return join(import.meta.dirname, '../fixtures', ...path);
}

/** A safetensors file put together by hand, so that it can be wrong in any way. */
export function rawFile(header: unknown, dataBytes: number, headerLength?: bigint): Uint8Array<ArrayBuffer> {
  const text = typeof header === 'string' ? header : JSON.stringify(header);
  const json = new TextEncoder().encode(text);
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, headerLength ?? BigInt(json.length), true);
  file.set(json, 8);
  return file;
}

/** A model folder in memory that counts what is open. */
export class MemoryFolder implements ModelSource {
  readonly name = 'folder';
  readonly #files: Readonly<Record<string, Uint8Array | string>>;
  opened = 0;
  closed = 0;

  constructor(files: Readonly<Record<string, Uint8Array | string>>) {
    this.#files = files;
  }

  async open(file: string): Promise<ByteSource | undefined> {
    const content = this.#files[file];
    if (content === undefined) return undefined;
    this.opened++;
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    const source = memorySource(bytes, `folder/${file}`);
    return {
      ...source,
      close: async () => {
        this.closed++;
      },
    };
  }
}

/** The bytes of a GPU buffer. */
export async function readBuffer(gpu: Gpu, buffer: GPUBuffer): Promise<ArrayBuffer> {
  const staging = gpu.device.createBuffer({ size: buffer.size, usage: 0x01 | 0x08 }); // MAP_READ | COPY_DST
  await gpu.work((w) => w.copy(buffer, 0, staging, 0, buffer.size));
  await staging.mapAsync(0x01);
  const bytes = staging.getMappedRange().slice(0);
  staging.destroy();
  return bytes;
}

/** A weight's bytes in GPU memory, all parts together. */
export async function readWeight(gpu: Gpu, weight: Weight): Promise<Uint8Array<ArrayBuffer>> {
  const parts = [];
  for (const part of weight.parts) parts.push(await readBuffer(gpu, part.buffer));
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** A store in memory. */
export class MemoryStore implements FileStore {
  readonly files = new Map<string, { about: StoredFile; parts: Map<string, Uint8Array<ArrayBuffer>> }>();
  /** Parts that it has room for. */
  room = Number.POSITIVE_INFINITY;

  async open(about: StoredFile, replaces: boolean): Promise<KeptParts> {
    const key = JSON.stringify(about);
    for (const [other, file] of this.files)
      if (replaces && other !== key && file.about.folder === about.folder && file.about.path === about.path)
        this.files.delete(other);
    const { parts } = this.files.get(key) ?? { parts: new Map() };
    this.files.set(key, { about, parts });
    return {
      has: (begin, end) => parts.has(`${begin}-${end}`),
      read: async (begin, end) => parts.get(`${begin}-${end}`)?.slice(),
      write: async (begin, bytes) => {
        if (this.room-- <= 0) return false;
        parts.set(`${begin}-${begin + bytes.length}`, bytes.slice());
        return true;
      },
    };
  }

  async list() {
    return Array.from(this.files.values(), ({ about, parts }) => {
      const kept = Array.from(parts.values(), ({ length }) => length).reduce((a, b) => a + b, 0);
      return { ...about, kept };
    });
  }

  async delete(folder?: string) {
    for (const [key, { about }] of this.files)
      if (folder === undefined || about.folder === folder) this.files.delete(key);
  }
}
