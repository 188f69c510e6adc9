// Which TIFFs libvips reads as Pillow does. It takes more, with other colours and nothing said.

/** Numbers of TIFF's tags, as its specification names them. */
const TAG = {
  bits: 258,
  compression: 259,
  photometric: 262,
  samples: 277,
  planar: 284,
  palette: 320,
  extra: 338,
  format: 339,
};
const JPEG = 7;
const ASSOCIATED_ALPHA = 1;
const FLOAT = 3;

/** What is wrong with the first picture of a TIFF for being read as Pillow reads it; undefined if nothing is. */
export function tiffProblem(bytes: Uint8Array): string | undefined {
  const tags = firstTags(bytes);
  const one = (tag: number, otherwise: number): number => tags.get(tag)?.[0] ?? otherwise;
  const bits = tags.get(TAG.bits) ?? [1];
  const depth = bits[0]!;
  const samples = one(TAG.samples, 1);
  const extra = tags.get(TAG.extra) ?? [];
  const colours = samples - extra.length;
  const alpha = extra.includes(ASSOCIATED_ALPHA) ? 'premultiplied alpha' : undefined;
  if (bits.some((value) => value !== depth)) return 'samples of different depths';
  switch (one(TAG.photometric, 1)) {
    case 0:
    case 1:
      if (colours !== 1) return `${samples} samples for grey`;
      if (samples > 1) return depth === 8 ? alpha : `alpha with ${depth} bits`;
      return [1, 2, 4, 8, 16, 32].includes(depth) ? undefined : `${depth} bits`;
    case 2:
      if (one(TAG.format, 1) === FLOAT || (depth !== 8 && depth !== 16)) return `RGB of ${depth} bits`;
      if (depth === 8) return undefined;
      return one(TAG.planar, 1) === 2 ? '16 bits in separate planes' : alpha;
    case 3:
      // Pillow takes the upper byte of each colour, libvips the lower one if no upper one is used.
      return tags.get(TAG.palette)?.some((value) => value > 255) ? undefined : 'a palette of 8 bits';
    case 5:
      if (depth !== 8) return `CMYK of ${depth} bits`;
      return samples === 4 ? undefined : `CMYK of ${samples} samples`;
    case 6:
      return one(TAG.compression, 1) === JPEG ? undefined : 'YCbCr that is not compressed as JPEG';
    case 8:
    case 9:
    case 10:
      return 'Lab colours';
    default:
      return `photometric interpretation ${one(TAG.photometric, 1)}`;
  }
}

/** Whole-number tags of the first directory of a TIFF or BigTIFF; those that the file is too short for are left out. */
function firstTags(bytes: Uint8Array): Map<number, number[]> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = bytes[0] === 0x49;
  const tags = new Map<number, number[]>();
  const read = (at: number, size: number): number => {
    if (size === 1) return view.getUint8(at);
    if (size === 2) return view.getUint16(at, little);
    return size === 4 ? view.getUint32(at, little) : Number(view.getBigUint64(at, little));
  };
  try {
    const big = read(2, 2) === 43;
    const word = big ? 8 : 4;
    const directory = read(big ? 8 : 4, word);
    const first = directory + (big ? 8 : 2);
    const count = read(directory, big ? 8 : 2);
    for (let entry = 0; entry < count; entry++) {
      const at = first + entry * (4 + 2 * word);
      const size = { 1: 1, 3: 2, 4: 4, 16: 8 }[read(at + 2, 2)];
      const length = read(at + 4, word);
      if (size === undefined || !Object.values(TAG).includes(read(at, 2))) continue;
      const inside = at + 4 + word;
      const values = length * size <= word ? inside : read(inside, word);
      if (values + length * size > bytes.length) continue;
      tags.set(
        read(at, 2),
        Array.from({ length }, (_, index) => read(values + index * size, size)),
      );
    }
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause; // the decoder says that the file is cut short
  }
  return tags;
}
