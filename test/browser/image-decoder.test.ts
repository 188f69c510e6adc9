import { describe, expect, it } from 'vitest';
import { browserDecoder } from '../../src/platform/browser/index.ts';
import { httpFolder, readJson, readTensors } from '../../src/weights/index.ts';
import { type Picture, refusedInBrowsers } from '../support/pictures.ts';

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
  const readable = decoded.filter(({ file }) => !refusedInBrowsers(file));

  it.each(readable)('$file', async ({ file, sha256: expected }) => {
    expect(await sha256((await browserDecoder(await bytes(`pillow/${file}`), file)).data)).toBe(expected);
  });

  const { pictures } = (await readJson(FIXTURES, 'pictures/pictures.json')) as { pictures: Picture[] };

  it.each(pictures)('or refuses: $name', async ({ name, base64, size, sha256: expected }) => {
    const file = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const decoding = browserDecoder(file, name);
    const refusal = refusedInBrowsers(name);
    if (refusal) {
      await expect(decoding).rejects.toMatchObject({
        code: 'image',
        message: expect.stringMatching(refusal),
      });
      await expect(decoding).rejects.toThrow(name);
      return;
    }
    const { width, height, data } = await decoding;
    expect([width, height]).toEqual(size);
    expect(await sha256(data)).toBe(expected);
  });

  it.each(['progressive.jpg', 'exif.png', 'alpha.webp', 'plain.gif'])(
    'refuses %s cut short',
    async (file) => {
      const complete = await bytes(`pillow/${file}`);
      const decoding = browserDecoder(complete.subarray(0, complete.length / 2), file);
      await expect(decoding).rejects.toMatchObject({ code: 'image', message: expect.stringContaining(file) });
    },
  );
});
