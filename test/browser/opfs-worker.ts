// What test/browser/opfs-store.test.ts lets a worker do.

import { opfsStore } from '../../src/platform/browser/opfs-store.ts';

const FILE = { folder: 'https://hub/org/tiny', path: 'a/b.bin', size: 1000, tag: 'x' };

async function run(task: string): Promise<unknown> {
  const parts = await (await opfsStore()).open(FILE, false);
  const same: boolean[] = [];
  for (let i = 0; i < 20; i++) {
    const bytes = Uint8Array.from({ length: 50 }, (_, at) => (at * (i + 1)) % 251);
    // A part that somebody else is writing is refused; nothing else may be.
    if (task === 'write' && !(await parts.write(50 * i, bytes))) continue;
    const read = await parts.read(50 * i, 50 * (i + 1));
    // While somebody else is writing it again it may not be readable; it is never wrong.
    same.push((task === 'write' && !read) || bytes.every((byte, at) => byte === read?.[at]));
  }
  return same.every(Boolean) && (task === 'write' || same.length === 20);
}

addEventListener('message', async ({ data }: MessageEvent<string>) => {
  try {
    postMessage({ result: await run(data) });
  } catch (error) {
    postMessage({ error: String(error) });
  }
});
