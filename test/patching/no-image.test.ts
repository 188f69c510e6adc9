// The corruption `no-image`: whatever the picture shows, the answer is the same; cells of a sweep correspond, and are exact.

import { describe, expect, test } from 'vitest';
import type { ImageInput, Sample, VisionLanguageModel } from '../../src/models/index.ts';
import {
  generateWithHooks,
  noImage,
  planSweep,
  runWithCache,
  runWithHooks,
  type SweepSite,
  sweep,
} from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { asFloat32, readTensors } from '../../src/weights/index.ts';
import { layerNorm, toRows } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { fixture, GOLDEN, Golden, loadFixtureModel } from '../support/golden.ts';
import { everySite } from '../support/golden-family.ts';
import { LONG, long } from '../support/long.ts';
import { Random } from '../support/random.ts';

const FOLDERS = [
  'blip-tiny',
  'llava-tiny-gqa',
  'smolvlm-tiny',
  'gemma3-tiny',
  'paligemma-tiny',
  'instructblip-tiny',
  'llava_next-tiny',
  'qwen3_vl-tiny',
];

async function open(folder: string) {
  return { golden: await Golden.open(folder), model: await loadFixtureModel(folder) };
}

/** The same prompt with a picture of other values. */
function otherPicture({ images, ...prompt }: Sample): Sample {
  const [image] = images as [ImageInput];
  const random = new Random(2);
  return { ...prompt, images: [{ ...image, data: random.vector(image.data.length) }] };
}

describe.each(FOLDERS)('%s', (folder) => {
  test('answers as if it saw nothing: the same bits whatever the picture, a token or an answer', async () => {
    const { golden, model } = await open(folder);
    const sample = golden.sample('case0', 'clean');
    const other = otherPicture(sample);
    const whole = await runWithHooks(model, [sample, other], {});
    expect(whole[0]).not.toEqual(whole[1]);
    const interventions = noImage(model, sample);
    const [first, second] = await runWithHooks(model, [sample, other], { interventions });
    expectSameBits(second!, first!);
    expect(first!.every(Number.isFinite)).toBe(true);
    expect(first).not.toEqual(whole[0]);
    const answers = await generateWithHooks(model, [sample, other], {
      interventions,
      maxNewTokens: 3,
      keepLogits: true,
    });
    answers[0]!.logits.forEach((logits, step) => {
      expectSameBits(answers[1]!.logits[step]!, logits);
    });
    expect(answers[0]!.logits.length).toBeGreaterThan(0);
  });
});

test('BLIP: cross-attention adds nothing, not even a bias, and is normalised once more', async () => {
  const { golden, model } = await open('blip-tiny');
  const sample = golden.sample('case0', 'clean');
  const block = 'text_encoder.blocks.0';
  const names = ['cross_attn.hook_pattern', 'cross_attn.hook_z', 'hook_cross_attn_out'].map(
    (name) => `${block}.${name}`,
  );
  const streams = [`${block}.hook_normalized_resid_mid`, `${block}.hook_normalized_resid_cross`];
  const { cache } = await runWithCache(model, [sample], {
    interventions: noImage(model, sample),
    names: [...names, ...streams],
  });
  for (const name of names) {
    const values = await cache.read(name);
    expectSameBits(values, new Float32Array(values.length));
  }
  const [before, after] = await Promise.all(streams.map((name) => cache.read(name)));
  cache.release();
  const file = await nodeFolder(fixture('blip-tiny')).open('model.safetensors');
  const tensors = await readTensors(file!);
  await file!.close();
  const norm = (part: string) => {
    const name = `text_encoder.encoder.layer.0.crossattention.output.LayerNorm.${part}`;
    return asFloat32(tensors.get(name)!, name);
  };
  const width = norm('weight').length;
  const expected = layerNorm(toRows(before!, width), norm('weight'), norm('bias'), 1e-12);
  expectClose(
    after!,
    expected.flatMap((row) => Array.from(row)),
    { ofMax: GOLDEN },
  );
});

/** Sites of a tower; every cell of some, so that groups, heads and later positions are among them. */
function sitesOf(model: VisionLanguageModel, length: number, random: Random): SweepSite[] {
  const vision = model.towers[0] as string;
  return [
    ...everySite(model, model.promptTower, [0, length], random).filter((_, i) => LONG || i % 3 === 0),
    { site: `${vision}.hook_mlp_out`, layers: [0], positions: [1, [2, 3]] },
  ];
}

const SWEPT = ['blip-tiny', 'gemma3-tiny'];
const ALL_SWEPT = [...SWEPT, 'llava-tiny-gqa', 'instructblip-tiny', 'qwen2_vl-tiny'];

describe.each(long(SWEPT, ALL_SWEPT))('a sweep of %s', (folder) => {
  test('in one walk as one by one, bit for bit; controls hold, and other corruptions beside it', async () => {
    const { golden, model } = await open(folder);
    const clean = golden.sample('case0', 'clean');
    const found = golden.case('case0');
    const sites = sitesOf(model, clean.ids.length, new Random(11));
    const pair = {
      clean,
      correct: found.correct_token,
      incorrect: found.incorrect_token,
      sites,
      noImage: true,
    };
    const text = clean.ids.length - 2;
    const ids = clean.ids.map((id, p) => (p === text ? (clean.ids[text - 1] as number) : id));
    const jobs = [
      { ...pair, corrupt: clean },
      // The text is corrupt as well; another picture, which nobody sees.
      { ...pair, corrupt: { ...clean, ids }, sites: sites.slice(0, 4) },
      { ...pair, corrupt: otherPicture(clean), sites: sites.slice(0, 4) },
    ];
    const wavefront = await sweep(model, jobs);
    const oneByOne = await sweep(model, jobs, { mode: 'one-by-one' });
    const split = await sweep(model, jobs, { cellsPerWalk: 7, repeat: 0 });
    wavefront.forEach((result, pair) => {
      result.sites.forEach(({ site, data, shape }, i) => {
        const name = `${pair} ${site}`;
        expectSameBits(oneByOne[pair]!.sites[i]!.data, data, { name, shape });
        expectSameBits(split[pair]!.sites[i]!.data, data, { name, shape });
      });
      expect(result.controls).toMatchObject({
        fullRestoration: true,
        nullPatches: jobs[pair]!.sites.length,
      });
      expect(result.controls?.noiseFloor).toBeLessThan(1e-3);
    });
    // The runs are those of the intervention.
    const [whole] = await runWithHooks(model, [clean], {});
    const [blind] = await runWithHooks(model, [clean], { interventions: noImage(model, clean) });
    expectSameBits(wavefront[0]!.logits.clean, whole!);
    expectSameBits(wavefront[0]!.logits.corrupt, blind!);
    expectSameBits(wavefront[2]!.logits.corrupt, blind!);
    // What the vision tower makes of the picture reaches nobody: an effect of exactly 0.
    const vision = wavefront[0]!.sites.at(-1)!;
    expect(vision.data.filter((_, at) => at % 4 === 2)).toEqual(new Float32Array(3 - 1));
    // And some patch of the text does something.
    const effects = wavefront[0]!.sites
      .slice(0, -1)
      .flatMap(({ data }) => [...data.filter((_, at) => at % 4 === 2)]);
    expect(effects.some((effect) => effect !== 0)).toBe(true);
  });
});

test('a patched run has rows only where it differs from the corrupt run', async () => {
  const { golden, model } = await open('llava-tiny-gqa');
  const clean = golden.sample('case0', 'clean');
  const last = clean.ids.length - 1;
  const first = clean.ids.indexOf(model.imageToken as number);
  const text = clean.ids.filter((id, p) => p > first && id !== model.imageToken).length;
  const job = { clean, corrupt: clean, correct: 1, incorrect: 2, noImage: true };
  const site = { site: 'language.hook_resid_post', layers: [0], positions: [last - 1] };
  const { layers } = await planSweep(model, [{ ...job, sites: [site] }], { controls: false });
  const top = layers.filter(({ tower }) => tower === 'language').at(-1);
  // All of the clean run, the text of the corrupt run, and of the patched run the position patched and the one behind it.
  expect(top?.rows).toBe(clean.ids.length + text + 2);
});
