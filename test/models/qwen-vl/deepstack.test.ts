import { beforeAll, describe, expect, test } from 'vitest';
import type { VisionLanguageModel } from '../../../src/models/index.ts';
import { add, replace, runWithHooks } from '../../../src/patching/index.ts';
import { expectClose, expectSameBits } from '../../support/close.ts';
import { Golden, type GoldenCase, loadFixtureModel } from '../../support/golden.ts';
import { Random } from '../../support/random.ts';

interface QwenCase extends GoldenCase {
  readonly deepstack_patch_features?: number[];
}

/** The reference's own f32 patch effects are up to 1e-5 off. */
const EFFECT = 5e-5;

describe('DeepStack', () => {
  let golden: Golden;
  let model: VisionLanguageModel;
  beforeAll(async () => {
    golden = await Golden.open('qwen3_vl-tiny');
    model = await loadFixtureModel('qwen3_vl-tiny');
  });

  test('patched features have the effects of Hugging Face', async () => {
    for (const one of golden.cases as readonly QwenCase[]) {
      const {
        id,
        correct_token: correct,
        incorrect_token: incorrect,
        deepstack_patch_features: features,
      } = one;
      if (!features) continue;
      const samples = [golden.sample(id, 'clean'), golden.sample(id, 'corrupt')];
      const { data, shape } = golden.get(`${id}/patch_f64/deepstack_block`);
      const difference = (logits: Float32Array | undefined) =>
        (logits?.[correct] ?? 0) - (logits?.[incorrect] ?? 0);
      const [, corrupt] = await runWithHooks(model, samples, {});
      for (let j = 0; j < (shape[0] as number); j++) {
        for (const [i, feature] of features.entries()) {
          const hook = `deepstack.${j}.hook_out`;
          const patch = replace({ hook, run: 1, positions: [feature] }, { run: 0 });
          const [, patched] = await runWithHooks(model, samples, { interventions: [patch] });
          const effect = difference(patched) - difference(corrupt);
          expectClose([effect], [data[(j * features.length + i) * 4 + 2] as number], {
            atol: EFFECT,
            name: hook,
          });
        }
      }
    }
  });

  test('what is done in the vision tower below a merger reaches the language model through it alone', async () => {
    const sample = golden.sample('case0', 'clean');
    const [plain] = await runWithHooks(model, [sample], {});
    const width = model.configs[0]?.width as number;
    const noise = add(
      { hook: 'vision.blocks.2.hook_resid_post', positions: [5] },
      { values: new Random(1).vector(width) },
    );
    // Deepstack 1 is made of block 2; without it and the rest of the tower nothing is left of the noise.
    const edits = [
      noise,
      ...['deepstack.1.hook_out', 'projector.hook_out'].map((hook) => ({ op: 'zero', hook }) as const),
    ];
    const [noisy] = await runWithHooks(model, [sample], { interventions: [noise] });
    expect(noisy).not.toEqual(plain);
    const [silenced] = await runWithHooks(model, [sample], { interventions: edits });
    const [silent] = await runWithHooks(model, [sample], { interventions: edits.slice(1) });
    expectSameBits(silenced as Float32Array, silent as Float32Array);
  });
});
