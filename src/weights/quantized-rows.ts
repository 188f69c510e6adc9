// How the codes and scales of a quantised matrix get into their buffers: as they are in the file, or made of its floats.

import type { Work } from '../gpu/index.ts';
import { blockRows, ELEMENT_BYTES, type QuantizedWeight, quantize, scaleCount } from '../kernels/index.ts';
import { inFile, type LinearInfo, packedRows, packedScales } from './bitsandbytes.ts';
import type { Checkpoint } from './checkpoint.ts';
import { WeightsError } from './errors.ts';
import { CHUNK_BYTES, floatRows } from './matrix-rows.ts';
import { elementCount } from './safetensors.ts';
import { convert, storageType, wholeWords } from './stored.ts';
import { overlaps, type WeightBuffers } from './weight-buffers.ts';

/** Writes codes and absmax of the tensors that the file holds quantised. */
export async function copyPacked(
  checkpoint: Checkpoint,
  infos: readonly LinearInfo[],
  { columns, stride, parts }: QuantizedWeight,
  buffers: WeightBuffers,
): Promise<void> {
  const blocks = (rows: number) => scaleCount('nf4', rows, columns);
  let first = 0;
  for (const info of infos) {
    const rows = elementCount(info.shape) / columns;
    if (inFile(info)) {
      const scales = await packedScales(checkpoint, info);
      for (const { part, begin, end } of overlaps(parts, first, rows)) {
        const [offset, from] = [4 * blocks(begin - part.firstRow), blocks(begin - first)];
        await buffers.write(part.scales, offset, scales, from, blocks(end - begin));
      }
      for await (const { row, codes } of packedRows(checkpoint, info, CHUNK_BYTES))
        await buffers.writeRows(parts, first + row, stride / 2, codes);
    }
    first += rows;
  }
}

/**
 * Quantises the tensors that the file holds as floats.
 *
 * @throws WeightsError for a value that is not finite
 */
export async function quantizeRows(
  w: Work,
  checkpoint: Checkpoint,
  infos: readonly LinearInfo[],
  weight: QuantizedWeight,
  buffers: WeightBuffers,
): Promise<void> {
  const { columns, name, type } = weight;
  const refused = w.upload(new Float32Array(1), 1, 1, `${name} (not finite)`);
  for await (const { info, bytes, row } of floatRows(checkpoint, infos, columns, blockRows(type, columns))) {
    const stored = storageType(info);
    const values = info.dtype === 'F64' ? new Uint8Array(convert(info, bytes, 'f32').buffer) : bytes;
    const rowBytes = columns * ELEMENT_BYTES[stored];
    for (const { part, begin, end } of overlaps(weight.parts, row, values.length / rowBytes)) {
      const buffer = w.uploadWords(
        wholeWords(values.subarray((begin - row) * rowBytes, (end - row) * rowBytes)),
        `${name} (file)`,
      );
      const input = { buffer, type: stored, rows: end - begin };
      quantize(w, input, weight, part, begin - part.firstRow, refused.buffer);
      w.release(buffer);
      await buffers.wrote((end - begin) * rowBytes);
    }
  }
  const [flag] = await w.read(refused);
  if (flag![0] !== 0)
    throw new WeightsError(
      `${infos[0]!.file}: tensor "${name}" holds a value that is not finite, which ${type} cannot store. Load the model as it is in the file.`,
    );
}
