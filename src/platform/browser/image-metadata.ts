/** Whether a file begins with these characters, one byte each. */
export function startsWith(bytes: Uint8Array, signature: string): boolean {
  return Array.from(signature).every((character, index) => bytes[index] === character.charCodeAt(0));
}

/** The file without the EXIF block of JPEG and PNG, in pieces to be joined; any other file as it is. */
export function withoutOrientation(bytes: Uint8Array): Uint8Array<ArrayBuffer>[] {
  const file = bytes as Uint8Array<ArrayBuffer>; // files are never in shared memory
  const blocks = startsWith(file, '\xff\xd8')
    ? jpegExif(file)
    : startsWith(file, '\x89PNG')
      ? pngExif(file)
      : [];
  let kept = 0;
  const pieces = blocks.map(({ start, end }) => {
    const piece = file.subarray(kept, start);
    kept = end;
    return piece;
  });
  return [...pieces, file.subarray(kept)];
}

/** Places of the APP1 segments, which hold EXIF, before the first scan. */
function jpegExif(file: Uint8Array): { start: number; end: number }[] {
  const found = [];
  let start = 2;
  while (file[start] === 0xff && file[start + 1] !== 0xda) {
    if (file[start + 1] === 0xff) {
      start++; // padding before a marker
      continue;
    }
    const end = start + 2 + ((file[start + 2] ?? 0) << 8) + (file[start + 3] ?? 0);
    if (file[start + 1] === 0xe1) found.push({ start, end });
    start = end;
  }
  return found;
}

/** Places of the eXIf chunks. */
function pngExif(file: Uint8Array): { start: number; end: number }[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const found = [];
  for (let start = 8; start + 12 <= file.length; ) {
    const end = start + 12 + view.getUint32(start);
    if (startsWith(file.subarray(start + 4), 'eXIf')) found.push({ start, end });
    start = end;
  }
  return found;
}
