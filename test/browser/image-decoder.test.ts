import { describe, expect, it } from 'vitest';
import { browserDecoder } from '../../src/platform/browser/index.ts';
import { httpFolder, readJson, readTensors } from '../../src/weights/index.ts';

const FIXTURES = httpFolder('/test/fixtures');

async function bytes(file: string): Promise<Uint8Array> {
  const source = await FIXTURES.open(file);
  return source!.read(0, source!.size);
}

async function sha256(data: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new Uint8Array(data));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

describe('decoding in the browser equals Pillow', async () => {
  const golden = await readTensors(
    (await FIXTURES.open('image-preprocessing/expected.safetensors'))!,
    (name) => name.endsWith('/decoded_rgb'),
  );
  const files = [...golden.keys()].map((name) => name.replace('/decoded_rgb', ''));

  it.each(files.filter((file) => file !== 'grey16.png'))('%s', async (file) => {
    const { shape, data } = golden.get(`${file}/decoded_rgb`)!;
    const image = await browserDecoder(await bytes(`image-preprocessing/${file}`), file);
    expect([image.height, image.width, 3]).toEqual(shape);
    expect(await sha256(image.data)).toBe(await sha256(data as Uint8Array));
  });

  interface Decoded {
    readonly file: string;
    readonly sha256: string;
  }
  const { decoded } = (await readJson(FIXTURES, 'pillow/expected.json')) as { decoded: Decoded[] };
  // Browsers read no TIFF, and two kinds are refused: see below.
  const readable = decoded.filter(({ file }) => !/tif$|^grey16|^transparent/.test(file));

  it.each(readable)('$file', async ({ file, sha256: expected }) => {
    expect(await sha256((await browserDecoder(await bytes(`pillow/${file}`), file)).data)).toBe(expected);
  });

  it.each([
    ['grey16_key.png', /16-bit grey PNG cannot be read exactly/],
    ['transparent.gif', /GIF with transparency/],
    ['exif.tif', /^exif\.tif: the browser cannot decode it/],
  ])('refuses %s', async (file, message) => {
    const decoding = browserDecoder(await bytes(`pillow/${file}`), file);
    await expect(decoding).rejects.toMatchObject({ code: 'image', message: expect.stringMatching(message) });
  });

  it.each(['progressive.jpg', 'exif.png'])('refuses %s cut short', async (file) => {
    const complete = await bytes(`pillow/${file}`);
    const decoding = browserDecoder(complete.subarray(0, complete.length / 2), file);
    await expect(decoding).rejects.toMatchObject({ code: 'image', message: expect.stringContaining(file) });
  });
});
