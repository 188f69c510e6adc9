import { describe, expect, test } from 'vitest';
import { loadModel, type VisionLanguageModel } from '../../../src/models/index.ts';
import { runWithHooks, sweep } from '../../../src/patching/index.ts';
import { nodeFolder } from '../../../src/platform/node/files.ts';
import { readJson, readTensors } from '../../../src/weights/index.ts';
import { expectClose, expectSameBits } from '../../support/close.ts';
import { type FolderFiles, folderWith, renamedWeights } from '../../support/folder.ts';
import { fixture, GOLDEN, Golden, loadFixtureModel } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';

const altered = async (name: string, files: FolderFiles): Promise<VisionLanguageModel> =>
  loadModel(await testGpu(), folderWith(files, nodeFolder(fixture(name))));

async function logitsOf(name: string, files: FolderFiles): Promise<Float32Array> {
  const golden = await Golden.open(name);
  const model = await altered(name, files);
  const [logits] = await runWithHooks(model, [golden.sample('case0', 'clean')], {});
  model.destroy();
  return logits as Float32Array;
}

describe.each(['qwen2_vl-tiny', 'qwen2_5_vl-tiny'])('%s', (name) => {
  const folder = nodeFolder(fixture(name));

  test('a state dict of transformers 4.52 to 4.57, settings of the text apart', async () => {
    const later = (tensor: string) =>
      tensor.replace(/^model\./, 'model.language_model.').replace(/^visual\./, 'model.visual.');
    const { vision_config, tie_word_embeddings, model_type, image_token_id, ...text } = (await readJson(
      folder,
      'config.json',
    )) as Record<string, unknown>;
    const text_config = { ...text, model_type: `${model_type}_text` };
    const logits = await logitsOf(name, {
      'model.safetensors': await renamedWeights(folder, later),
      'config.json': { model_type, vision_config, tie_word_embeddings, image_token_id, text_config },
    });
    const golden = await Golden.open(name);
    expectClose(logits, golden.get('case0/clean/logits').data, { ofMax: GOLDEN });
  });
});

test.each(['qwen2_5_vl-tiny', 'qwen3_vl-tiny'])('%s: a tied head is the embeddings', async (name) => {
  const folder = nodeFolder(fixture(name));
  const config = (await readJson(folder, 'config.json')) as Record<string, unknown>;
  const embeddings = /embed_tokens\.weight$/;
  const file = await folder.open('model.safetensors');
  const tensors = await readTensors(file as NonNullable<typeof file>, (tensor) => embeddings.test(tensor));
  await file?.close();
  const head = [...tensors.values()][0] as NonNullable<ReturnType<typeof tensors.get>>;
  const unused = (tensor: string) => (tensor === 'lm_head.weight' ? 'unused' : tensor);
  const tied = await logitsOf(name, {
    'config.json': { ...config, tie_word_embeddings: true },
    'model.safetensors': await renamedWeights(folder, unused),
  });
  const copied = await logitsOf(name, {
    'model.safetensors': await renamedWeights(folder, unused, new Map([['lm_head.weight', head]])),
  });
  expectSameBits(tied, copied);
});

test.each([
  ['qwen2_vl-tiny', 'visual.merger.ln_q.bias'],
  ['qwen2_5_vl-tiny', 'visual.blocks.1.mlp.up_proj.weight'],
  ['qwen3_vl-tiny', 'model.visual.pos_embed.weight'],
  ['qwen3_vl-tiny', 'model.visual.deepstack_merger_list.1.norm.weight'],
  ['qwen3_vl-tiny', 'model.language_model.layers.2.self_attn.k_norm.weight'],
])('%s: a missing tensor is named (%s)', async (name, missing) => {
  const file = await renamedWeights(nodeFolder(fixture(name)), (tensor) =>
    tensor === missing ? 'unused' : tensor,
  );
  await expect(altered(name, { 'model.safetensors': file })).rejects.toThrow(missing);
});

test.each(['f16', 'nf4'] as const)(
  'Qwen3-VL as %s: a sweep gives the bits that one by one gives',
  async (dtype) => {
    const golden = await Golden.open('qwen3_vl-tiny');
    const model = await loadFixtureModel('qwen3_vl-tiny', { dtype });
    const [clean, corrupt] = [golden.sample('case0', 'clean'), golden.sample('case0', 'corrupt')];
    const sites = [
      { site: 'vision.hook_mlp_out', layers: [0, 1], positions: [17, 40] },
      { site: 'language.attn.hook_z', layers: [1], positions: [20], heads: true },
    ];
    const jobs = [{ clean, corrupt, correct: 65, incorrect: 285, sites }];
    const [wavefront] = await sweep(model, jobs);
    const [oneByOne] = await sweep(model, jobs, { mode: 'one-by-one' });
    wavefront?.sites.forEach(({ data }, i) => {
      expectSameBits(data, oneByOne?.sites[i]?.data ?? new Float32Array());
    });
    // Weights of 11 bits; what nf4 makes of them, test/models/quantized.test.ts checks.
    const ofMax = { f16: 5e-3, nf4: 2 }[dtype];
    const { data } = golden.get('case0/clean/logits');
    expectClose(wavefront?.logits.clean ?? [], data, { ofMax });
    expect(wavefront?.logits.clean).not.toEqual(data);
    model.destroy();
  },
);
