// Folders of inpainting models: f16 files with newer names, damaged and foreign ones.

import { describe, expect, it } from 'vitest';
import { loadInpainting } from '../../../src/models/index.ts';
import { inpaint } from '../../../src/patching/index.ts';
import { fileSource, nodeFolder } from '../../../src/platform/node/index.ts';
import {
  asFloat32,
  f32ToF16,
  type HostTensor,
  readTensors,
  writeSafetensors,
} from '../../../src/weights/index.ts';
import { expectClose } from '../../support/close.ts';
import { type FolderFiles, folderWith } from '../../support/folder.ts';
import { fixture } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';

const folder = fixture('sd-inpaint-tiny');
const UNET = 'unet/diffusion_pytorch_model';
const VAE = 'vae/diffusion_pytorch_model';
const TEXT = 'text_encoder/model';

async function tensorsOf(name: string): Promise<Map<string, HostTensor>> {
  const source = await fileSource(`${folder}/${name}`);
  return readTensors(source).finally(() => source.close());
}

/** The fixture's weights as other libraries write them: in f16, with the names that they give. */
async function halved(
  name: string,
  rename: (tensor: string) => string = (tensor) => tensor,
): Promise<Uint8Array> {
  const tensors = [...(await tensorsOf(`${name}.safetensors`))].filter(([, { dtype }]) => dtype === 'F32');
  return writeSafetensors(
    new Map(
      tensors.map(([tensor, value]) => [
        rename(tensor),
        { dtype: 'F16', shape: value.shape, data: f32ToF16(asFloat32(value, tensor)) } as HostTensor,
      ]),
    ),
  );
}

const newer = (tensor: string) =>
  ['query', 'key', 'value']
    .reduce((name, old) => name.replace(`attentions.0.${old}.`, `attentions.0.to_${old[0]}.`), tensor)
    .replace('attentions.0.proj_attn.', 'attentions.0.to_out.0.');

describe('files of the variant fp16', () => {
  it('are found, with newer names, and give diffusers’ picture', async () => {
    const source = folderWith(
      {
        [`${UNET}.safetensors`]: null,
        [`${VAE}.safetensors`]: null,
        [`${TEXT}.safetensors`]: null,
        [`${UNET}.fp16.safetensors`]: await halved(UNET),
        [`${VAE}.fp16.safetensors`]: await halved(VAE, newer),
        [`${TEXT}.fp16.safetensors`]: await halved(TEXT, (name) => name.replace('text_model.', '')),
      },
      await nodeFolder(folder),
    );
    const model = await loadInpainting(await testGpu(), source);
    const given = await tensorsOf('golden.safetensors');
    const golden = await tensorsOf('golden-f16.safetensors');
    const { data } = given.get('case0/resized_uint8') as HostTensor;
    const values = (name: string, from = given) => from.get(`case0/${name}`)?.data as Float32Array;
    const painted = await inpaint(
      model,
      { width: 128, height: 64, data: data as Uint8Array },
      given.get('case0/mask')?.data as Uint8Array,
      'a picture of man sits chair',
      { steps: 6, guidance: 8, noise: { latents: values('noise'), posterior: values('posterior_noise') } },
    );
    // As for f32 (inpainting.test.ts): the weights are exact, the arithmetic is f32.
    expectClose(painted.posterior.mean, values('vae_mean', golden), { ofMax: 3e-5 });
    expectClose(painted.maskedLatents, values('masked_image_latents', golden), { ofMax: 3e-5 });
    expectClose(painted.latents, values('steps/5/latents', golden), { ofMax: 1e-4 });
    const bytes = golden.get('case0/image_uint8')?.data as Uint8Array;
    const off = painted.image.data.filter((value, i) => value !== bytes[i]).length;
    expect(off).toBeLessThanOrEqual(2); // bytes that are as near to a half as rounding is
    model.destroy();
  });

  it('are named where the one that is asked for is missing', async () => {
    const loading = loadInpainting(await testGpu(), await nodeFolder(folder), { variant: 'fp16' });
    await expect(loading).rejects.toThrow(/unet.*diffusion_pytorch_model\.fp16\.safetensors/);
  });
});

describe('a folder that is none of an inpainting model is refused by name', () => {
  const config = async (name: string, changes: object): Promise<FolderFiles> => {
    const source = await (await nodeFolder(folder)).open(name);
    const bytes = await source!.read(0, source!.size).finally(() => source!.close());
    return { [name]: { ...JSON.parse(new TextDecoder().decode(bytes)), ...changes } };
  };
  const changed = (name: string, changes: object) => () => config(name, changes);

  it.each<[string, () => Promise<FolderFiles>, RegExp]>([
    [
      'SDXL',
      changed('model_index.json', { _class_name: 'StableDiffusionXLInpaintPipeline' }),
      /model_index\.json.*StableDiffusionXLInpaintPipeline.*two text encoders/,
    ],
    [
      'text to image',
      changed('model_index.json', { _class_name: 'StableDiffusionPipeline' }),
      /expected "StableDiffusionInpaintPipeline".*4 input channels/,
    ],
    [
      '4 channels',
      changed('unet/config.json', { in_channels: 4 }),
      /unet\/config\.json: 4 channels in and 4 out; one for inpainting has 9/,
    ],
    [
      'another text encoder',
      changed('unet/config.json', { cross_attention_dim: 32 }),
      /"cross_attention_dim" is 32.*"hidden_size" 24/,
    ],
    [
      'SDXL’s conditions',
      changed('unet/config.json', { addition_embed_type: 'text_time' }),
      /"addition_embed_type" is "text_time"/,
    ],
    [
      'another VAE',
      changed('vae/config.json', { shift_factor: 0.1 }),
      /vae\/config\.json: "shift_factor" is 0\.1/,
    ],
    [
      'heads that do not divide',
      changed('unet/config.json', { attention_head_dim: [3, 4, 3, 3] }),
      /8 channels are not divided by 3 heads/,
    ],
    [
      'no weights',
      async () => ({ [`${UNET}.safetensors`]: null }),
      /unet has neither .*diffusion_pytorch_model\.safetensors/,
    ],
    ['no index', async () => ({ 'model_index.json': null }), /has no model_index\.json/],
    [
      'cut weights',
      async () => ({ [`${VAE}.safetensors`]: new Uint8Array(40) }),
      /vae\/diffusion_pytorch_model\.safetensors/,
    ],
  ])('%s', async (_, files, message) => {
    const source = folderWith(await files(), await nodeFolder(folder));
    await expect(loadInpainting(await testGpu(), source)).rejects.toThrow(message);
  });

  it('a tensor of another shape, by file, name and shape', async () => {
    const tensors = await tensorsOf(`${UNET}.safetensors`);
    const name = 'down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj.weight';
    tensors.set(name, { dtype: 'F32', shape: [63, 8], data: new Float32Array(504) });
    const source = folderWith(
      { [`${UNET}.safetensors`]: writeSafetensors(tensors) },
      await nodeFolder(folder),
    );
    await expect(loadInpainting(await testGpu(), source)).rejects.toThrow(
      `"${name}" [63, 8] has no 2 equal parts`,
    );
  });
});
