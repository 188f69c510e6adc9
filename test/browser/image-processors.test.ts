// The hashes of test/inputs/image-processors.test.ts, in a browser: its own decoder, and its own Math.sin in Lanczos' filter.
import { expect, test } from 'vitest';
import { ImageProcessor } from '../../src/inputs/index.ts';
import { browserDecoder } from '../../src/platform/browser/image-decoder.ts';

interface Golden {
  readonly image: string;
  readonly options?: object;
  readonly torchvision: string;
  readonly pil?: string;
}

const FIXTURES = '/test/fixtures';

async function json<T>(path: string): Promise<T> {
  return (await (await fetch(`${FIXTURES}/${path}`)).json()) as T;
}

async function sha256(values: Float32Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', values as Float32Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

test('pixel values of every family are those of transformers, bit for bit', async () => {
  const golden = await json<Record<string, Golden[]>>('image-processors/expected.json');
  let compared = 0;
  for (const [folder, rows] of Object.entries(golden)) {
    const config = await json<object>(`${folder}/preprocessor_config.json`);
    for (const { image, options, ...hashes } of rows) {
      const name = `${folder}/${image}`;
      const file = await (await fetch(`${FIXTURES}/${name}`)).arrayBuffer();
      const picture = await browserDecoder(new Uint8Array(file), name);
      for (const backend of ['torchvision', 'pil'] as const) {
        const hash = hashes[backend];
        if (hash === undefined) continue;
        const processor = ImageProcessor.from({ ...config, ...options }, { backend });
        expect(await sha256(processor.process(picture).pixelValues.data), `${name} ${backend}`).toBe(hash);
        compared++;
      }
    }
  }
  expect(compared).toBeGreaterThan(70);
});
