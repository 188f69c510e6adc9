import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { decodeImage, readImage } from '../../src/platform/node/images.ts';
import { type Picture, REFUSED_IN_NODE } from '../support/pictures.ts';
import { fixturePath, noticeError, readJsonFile, sha256 } from './support.ts';

interface Decoded {
  readonly file: string;
  readonly width: number;
  readonly height: number;
  readonly sha256: string;
}

const { decoded } = readJsonFile<{ decoded: readonly Decoded[] }>(fixturePath('pillow/expected.json'));
const folder = mkdtempSync(join(tmpdir(), 'notice-images-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, bytes: Uint8Array | string): string {
  writeFileSync(join(folder, name), bytes);
  return join(folder, name);
}

const { pictures } = readJsonFile<{ pictures: readonly Picture[] }>(fixturePath('pictures/pictures.json'));

describe('decoding equals Pillow', () => {
  for (const { file, width, height, sha256: expected } of decoded) {
    it(file, async () => {
      const image = await readImage(fixturePath(`pillow/${file}`));
      expect([image.width, image.height]).toEqual([width, height]);
      expect(sha256(image.data)).toBe(expected);
    });
  }
});

describe('every kind of picture gives what Pillow gives, or is refused', () => {
  it.each(pictures)('$name', async ({ name, base64, size, sha256: expected }) => {
    const decoding = decodeImage(Buffer.from(base64, 'base64'), name);
    const refusal = REFUSED_IN_NODE[name];
    if (refusal) {
      await expect(decoding).rejects.toThrow(noticeError('image', refusal));
      await expect(decoding).rejects.toThrow(name);
      return;
    }
    const { width, height, data } = await decoding;
    expect([width, height]).toEqual(size);
    expect(sha256(data)).toBe(expected);
  });
});

describe('what cannot be decoded is said with its name', () => {
  const complete = (name: string) => readFileSync(fixturePath(`pillow/${name}`));

  it('missing', async () => {
    await expect(readImage(join(folder, 'none.png'))).rejects.toThrow(
      noticeError('image', /none\.png: no such file/),
    );
    await expect(readImage(folder)).rejects.toThrow(noticeError('image', /EISDIR/));
  });

  it('empty, and not an image', async () => {
    await expect(readImage(file('empty.png', ''))).rejects.toThrow(
      noticeError('image', /empty\.png: the file is empty/),
    );
    await expect(readImage(file('text.jpg', 'hello'))).rejects.toThrow(
      noticeError('image', /text\.jpg: cannot be decoded as an image: it is none of png/),
    );
  });

  it.each(['\0\0\0\x18ftypisom', '\x1aE\xdf\xa3', 'RIFF\0\0\0\0AVI LIST'])('a video: %j', async (start) => {
    await expect(decodeImage(Buffer.from(start, 'latin1'), 'film')).rejects.toThrow(
      noticeError('image', /^film: videos are not read, only pictures/),
    );
  });

  it.each(['progressive.jpg', 'exif.png', 'alpha.webp', 'plain.gif', 'exif.tif'])(
    'cut short: %s',
    async (name) => {
      const bytes = complete(name);
      const half = file(`half-${name}`, bytes.subarray(0, Math.floor(bytes.length / 2)));
      await expect(readImage(half)).rejects.toThrow(
        noticeError('image', /half-.*cannot be decoded as an image/),
      );
    },
  );

  it('damaged in the middle of a PNG', async () => {
    const bytes = Buffer.from(complete('exif.png'));
    bytes.fill(0, 1000, 1100);
    await expect(decodeImage(bytes, 'damaged.png')).rejects.toThrow(
      noticeError('image', /^damaged\.png: cannot be decoded/),
    );
  });

  it('drawings and formats that Pillow does not read', async () => {
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>');
    await expect(decodeImage(svg, 'x.svg')).rejects.toThrow(
      noticeError('image', /x\.svg: SVG images are not supported here; use png/),
    );
  });

  it('too large, before its pixels are unpacked', async () => {
    const png = await sharp({ create: { width: 1, height: 1, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    png.writeUInt32BE(20000, 16);
    png.writeUInt32BE(9000, 20);
    png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
    await expect(decodeImage(png, 'bomb.png')).rejects.toThrow(
      noticeError('image', /^bomb\.png: 20000×9000 is more than/),
    );
  });

  /** PNG's checksum. */
  function crc32(bytes: Uint8Array): number {
    let crc = ~0;
    for (const byte of bytes) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc >>> 0;
  }
});
