import { expect, test } from 'vitest';
import { Processor } from '../../src/models/index.ts';
import type { CompatSwitch } from '../../src/notice/compat.ts';
import type { Pair } from '../../src/notice/datasets/pair.ts';
import type { RunContext, TaskState } from '../../src/notice/experiment/context.ts';
import { judgePairs } from '../../src/notice/experiment/judge.ts';
import { preparePair } from '../../src/notice/experiment/prepare.ts';
import { nodeImages } from '../../src/platform/node/images.ts';
import { nodeFolder } from '../../src/platform/node/index.ts';
import { fixture, loadFixtureModel } from '../support/golden.ts';

test('a pair whose pictures stand for other tokens is refused by name; of one size they are a pair', async () => {
  const folder = fixture('qwen2_5_vl-tiny');
  const model = await loadFixtureModel('qwen2_5_vl-tiny');
  const processor = await Processor.load(model, nodeFolder(folder));
  const pair: Pair = {
    id: 'a',
    cleanImage: `${folder}/images/case0_clean.png`,
    corruptImage: `${folder}/images/case0_corrupt.png`,
    cleanPrompt: 'Is this person feeling sad or afraid?',
    corruptPrompt: '',
    correct: 'sad',
    incorrect: 'afraid',
    category: 'emotions',
  };
  const options = { answer: 'sad', compat: [], reader: nodeImages };
  const { clean, corruptImage } = await preparePair(model, processor, pair, options);
  expect(corruptImage.ids).toBe(clean.ids);
  const other = { ...pair, corruptImage: `${folder}/images/case1_clean.png` };
  await expect(preparePair(model, processor, other, options)).rejects.toThrow(
    /pair a: with .*case1_clean\.png the prompt has \d+ tokens, with .*case0_clean\.png \d+/,
  );
  // So a run leaves it out before anything is asked, and goes on.
  const same = { ...pair, id: 'b' };
  const task: TaskState = {
    input: {
      task: 'emotions',
      rows: 2,
      pairs: [other, same],
      problems: [],
      generated: new Map([['b', other.corruptImage]]),
    },
    unusable: [],
    questions: [],
    evaluations: [],
    chosen: [],
  };
  const run = {
    model,
    processor,
    reader: nodeImages,
    tasks: [task],
    settings: { select: 'first', compat: [] as readonly CompatSwitch[] },
    record: {},
    log: () => {},
  } as unknown as RunContext;
  await judgePairs(run);
  expect(task.unusable).toEqual([
    { source: 'a', reason: 'picture-sizes', detail: expect.stringContaining('case1_clean.png') },
  ]);
  expect(task.questions).toMatchObject([{ pair: same, usable: true, generated: undefined }]);
});
