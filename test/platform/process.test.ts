// A device in the process around it: worker threads, and an exit in the middle of work.

import { execFile } from 'node:child_process';
import { expect, test } from 'vitest';
import { ROOT, SHAPES, useBuilt } from '../cli/support.ts';

useBuilt();

const NODE = JSON.stringify(`file://${ROOT}dist/platform/node/index.js`);
const LIBRARY = JSON.stringify(`file://${ROOT}dist/index.js`);

const WORKER = `
  import(${NODE}).then(async ({ openGpu }) => {
    const gpu = await openGpu();
    console.log(gpu.capabilities.description);
    gpu.destroy();
  });
`;

const CHILD = `
  import { Worker } from 'node:worker_threads';
  const worker = new Worker(${JSON.stringify(WORKER)}, { eval: true });
  await new Promise((done, failed) => worker.on('error', failed).on('exit', done));
  const { openGpu, nodeFolder } = await import(${NODE});
  const { loadModel } = await import(${LIBRARY});
  const model = await loadModel(await openGpu(), nodeFolder(${JSON.stringify(SHAPES)}));
  const image = { data: new Float32Array(3 * 64 * 64), height: 64, width: 64 };
  void model.generate(new Array(16).fill({ images: [image], ids: [1, 2, 3] }));
  setTimeout(() => process.exit(3), 40);
`;

test('a worker thread opens the first device; an exit in the middle of work is no crash', async () => {
  const outcome = await new Promise((done) => {
    execFile(process.execPath, ['--input-type=module', '-e', CHILD], (error, stdout, stderr) =>
      done({ status: error?.code, signal: error?.signal, stdout, stderr }),
    );
  });
  expect(outcome).toMatchObject({ status: 3, signal: null, stdout: expect.stringMatching(/^\S.*\n$/) });
});
