// A safetensors file whose bytes are computed when they are read: a model of any size that takes no disk.
import { safetensorsChunks, WeightsError } from '../dist/weights/index.js';

const ELEMENT_BYTES = { F32: 4, F16: 2, BF16: 2 };

/** @typedef {{ name: string, dtype: 'F32' | 'F16' | 'BF16', shape: readonly number[] }} GeneratedTensor */

/**
 * @param {readonly GeneratedTensor[]} tensors
 * @returns {Promise<{ head: Uint8Array, size: number }>} the file's header, and the bytes of the whole file
 */
export async function safetensorsHead(tensors) {
  // The values come after the header, and only when they are asked for.
  const { value: head } = await safetensorsChunks(tensors).next();
  return { head, size: tensors.reduce((sum, tensor) => sum + bytesOf(tensor), head.length) };
}

/**
 * @template {GeneratedTensor} T
 * @param {string} name for messages
 * @param {readonly T[]} tensors
 * @param {(tensor: T, first: number, count: number) => Float32Array | Uint16Array} valuesOf elements `first` to
 *   `first + count` as they lie in the file, in a buffer of their own
 * @returns the file as a ByteSource; it reads within one tensor at a time
 */
export async function generatedFile(name, tensors, valuesOf) {
  const { head, size } = await safetensorsHead(tensors);
  const entries = JSON.parse(new TextDecoder().decode(head.subarray(8)));
  return {
    name,
    size,
    close: async () => {},
    async read(offset, length) {
      if (offset + length <= head.length) return head.slice(offset, offset + length);
      const at = offset - head.length;
      const tensor = tensors.find((one) => {
        const [begin, end] = entries[one.name].data_offsets;
        return begin <= at && at + length <= end;
      });
      if (!tensor)
        throw new WeightsError(`${name}: bytes ${offset} to ${offset + length} are of several tensors`);
      const element = ELEMENT_BYTES[tensor.dtype];
      const first = (at - entries[tensor.name].data_offsets[0]) / element;
      return new Uint8Array(valuesOf(tensor, first, length / element).buffer);
    },
  };
}

function bytesOf({ dtype, shape }) {
  return ELEMENT_BYTES[dtype] * shape.reduce((product, size) => product * size, 1);
}
