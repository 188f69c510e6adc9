// Needs a process of its own (vitest.config.ts): memory is measured for the whole process.

import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { Checkpoint, type ModelSource, WeightLoader } from '../../src/weights/index.ts';
import { testGpu } from '../support/gpu.ts';
import { rawFile } from './support.ts';

const MIB = 1024 * 1024;
const ROWS = 16_000;
const COLUMNS = 4099; // not a multiple of 4: every row is copied to be filled up
const BYTES = 4 * ROWS * COLUMNS; // 250 MiB

/** The same folder; `beforeRead` is called before every read. */
function watched(folder: ModelSource, beforeRead: () => void): ModelSource {
  return {
    name: folder.name,
    async open(file) {
      const source = (await folder.open(file))!;
      return {
        name: source.name,
        size: source.size,
        read(offset, length) {
          beforeRead();
          return source.read(offset, length);
        },
        close: () => source.close(),
      };
    },
  };
}

it.each(['f32', 'bf16'] as const)(
  'loading 250 MiB as %s takes less than 64 MiB beside the weights',
  async (type) => {
    const gpu = await testGpu();
    const folder = await mkdtemp(join(tmpdir(), 'notice-test-'));
    try {
      const file = await open(join(folder, 'model.safetensors'), 'w');
      const header = rawFile({ w: { dtype: 'F32', shape: [ROWS, COLUMNS], data_offsets: [0, BYTES] } }, 0);
      await file.write(header);
      await file.truncate(header.length + BYTES); // zeros that take no room on disk
      await file.close();

      const finish = vi.spyOn(gpu, 'finish');
      const before = process.memoryUsage();
      const peak = { rss: 0, arrayBuffers: 0 };
      const sample = () => {
        const now = process.memoryUsage();
        peak.rss = Math.max(peak.rss, now.rss - before.rss);
        peak.arrayBuffers = Math.max(peak.arrayBuffers, now.arrayBuffers - before.arrayBuffers);
      };
      const checkpoint = await Checkpoint.open(watched(nodeFolder(folder), sample));
      const loader = new WeightLoader(gpu, checkpoint, { type });
      await loader.matrix('w', { rows: ROWS, columns: COLUMNS });
      sample();
      await checkpoint.close();
      // A software adapter keeps weights in this process, all of their room from the first write on.
      const weights = gpu.capabilities.software ? loader.bytes : 0;
      expect(peak.rss - weights).toBeLessThan(64 * MIB);
      expect(peak.arrayBuffers).toBeLessThan(64 * MIB);
      // Adapters with memory of their own keep a copy of what is written until they have taken it: portions of a chunk (4 MiB)
      // above 16 MiB at most, of which two are not waited for.
      expect(finish.mock.calls.length).toBeGreaterThanOrEqual(Math.floor(loader.bytes / (20 * MIB)));
      expect(finish.mock.calls.length).toBeLessThanOrEqual(Math.ceil(loader.bytes / (16 * MIB)));
      finish.mockRestore();
      loader.destroy();
      await gpu.finish();
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);
