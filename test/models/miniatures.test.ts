// The embedded miniatures answer questions about pictures: loading, preprocessing, prompt and generation together. What
// single heads of the SmolVLM miniature restore is what a PyTorch script measured (test/fixtures/shapes).

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel, Processor, type VisionLanguageModel } from '../../src/models/index.ts';
import { type Pair, readManifest } from '../../src/notice/datasets/index.ts';
import { evaluatePairs } from '../../src/notice/experiment/evaluate.ts';
import { preparePair } from '../../src/notice/experiment/prepare.ts';
import { sweep } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { nodeImages } from '../../src/platform/node/images.ts';
import { expectClose } from '../support/close.ts';
import { fixture } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TASKS = ['scenes', 'states', 'faces'];

/** With the template that each was trained with; SmolVLM's is the folder's chat template. */
describe.each([
  ['llava-shapes', 'llava-one-word', 0],
  ['smolvlm-shapes', undefined, 1],
])('%s', (folder, template, from) => {
  let model: VisionLanguageModel;
  let processor: Processor;
  beforeAll(async () => {
    const source = nodeFolder(`${ROOT}weights/${folder}`);
    model = await loadModel(await testGpu(), source);
    processor = await Processor.load(model, source, template);
  });
  afterAll(() => model.destroy());

  // llava-shapes' weakest questions are about relations between objects, of which it gets three of four right; the first
  // pair of scenes is one of the two that smolvlm-shapes gets wrong in PyTorch, too.
  test.each(TASKS)('some pairs of %s', async (task) => {
    const { pairs } = await readManifest(`${ROOT}data/${task}.csv`);
    const first = pairs.filter(({ category }) => category !== 'relation').slice(from, 4);
    const { evaluations } = await evaluatePairs(model, processor, nodeImages, first);
    expect(evaluations.map(({ answer }) => answer)).toEqual(first.map(({ correct }) => correct));
    expect(evaluations.map(({ corruptAnswer }) => corruptAnswer)).toEqual(
      first.map(({ incorrect }) => incorrect),
    );
  });

  if (folder !== 'smolvlm-shapes') return;

  test.each(TASKS)('heads of the first pairs of %s restore what PyTorch says', async (task) => {
    const analysis = JSON.parse(readFileSync(fixture('shapes/analysis-smolvlm.json'), 'utf8'))[task];
    const { pairs } = await readManifest(`${ROOT}data/${task}.csv`);
    const { evaluations } = await evaluatePairs(model, processor, nodeImages, pairs.slice(0, 8));
    const right = pairs.filter((_, i) => evaluations[i]?.cleanCorrect).slice(0, 2);
    // The script rounds to 5e-6; logits of both are f32, of up to 20.
    for (const [i, pair] of right.entries())
      for (const [mode, found] of Object.entries(await headEffects(pair)))
        expectClose(found, analysis[mode].first_pairs[i].flat(), { atol: 5e-5, name: mode });
  });

  async function headEffects(pair: Pair): Promise<Record<'image' | 'text', Float32Array>> {
    const options = { answer: pair.correct, compat: [], reader: nodeImages };
    const prepared = await preparePair(model, processor, pair, options);
    const { clean, corruptImage, text, correct, incorrect, answerPositions } = prepared;
    const sites = [{ site: 'language.attn.hook_z', heads: true, positions: [answerPositions] }];
    const jobs = [corruptImage, text?.corrupt ?? clean].map((corrupt) => ({
      clean,
      corrupt,
      correct,
      incorrect,
      sites,
    }));
    const results = await sweep(model, jobs, { repeat: 0 });
    // [layer, head, 1, 4]: the third number is LD' - LD*.
    const [image, ofText] = results.map(({ sites: [cells] }) =>
      Float32Array.from(
        { length: (cells?.data.length ?? 0) / 4 },
        (_, c) => cells?.data[4 * c + 2] as number,
      ),
    );
    return { image: image as Float32Array, text: ofText as Float32Array };
  }
});
