import { describe, expect, test } from 'vitest';
import {
  attributionPatching,
  parseSite,
  type SweepJob,
  type SweepSite,
  sweep,
} from '../../src/patching/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { GRADIENT, GradientGolden } from '../support/gradient-golden.ts';

function jobOf({ golden }: GradientGolden, id: string, sites: readonly SweepSite[]): SweepJob {
  const { correct_token: correct, incorrect_token: incorrect } = golden.case(id);
  return {
    clean: golden.sample(id, 'clean'),
    corrupt: golden.sample(id, 'corrupt'),
    correct,
    incorrect,
    sites,
  };
}

/** The sites of blocks that golden attributions are given for. */
function sitesOf(gradients: GradientGolden, id: string, kind: string): SweepSite[] {
  const blocks = gradients.names(`${id}/${kind}/`).filter((name) => name.includes('.blocks.'));
  const sites = [...new Set(blocks.map((name) => name.replace(/blocks\.\d+\./, '')))];
  return sites.map((site) => ({
    site,
    heads: /attn\.hook_/.test(parseSite(gradients.model, site).hook),
    layers: blocks.flatMap((name) => {
      const [, tower, layer, hook] = /^(\w+)\.blocks\.(\d+)\.(.*)$/.exec(name) as unknown as [
        string,
        string,
        string,
        string,
      ];
      return site === `${tower}.${hook}` ? [Number(layer)] : [];
    }),
  }));
}

describe.each(['blip-tiny', 'llava-tiny', 'llava-tiny-gqa'])('%s', (folder) => {
  test.each(['case0', 'case2'])('the first-order estimate of every cell of %s', async (id) => {
    const gradients = await GradientGolden.open(folder);
    const sites = sitesOf(gradients, id, 'attribution');
    const [found] = await attributionPatching(gradients.model, [jobOf(gradients, id, sites)]);
    const { ldClean, ldCorrupt } = found!.baseline;
    let compared = 0;
    for (const { site, layers, heads = 1, positions, data } of found!.sites)
      for (const [l, layer] of layers.entries()) {
        const { tower, hook } = parseSite(gradients.model, site);
        const name = `${tower}.blocks.${layer}.${hook}`;
        const golden = gradients.get(`${id}/attribution/${name}`);
        const ours = new Float32Array(golden.data.length);
        for (let p = 0; p < positions.length; p++)
          for (let h = 0; h < heads; h++) {
            const at = 2 * ((l * heads + h) * positions.length + p);
            ours[p * heads + h] = data[at + 1]!;
            expect(data[at]! - data[at + 1]!).toBeCloseTo(ldCorrupt, 4);
          }
        // The difference of two runs in f32 is off by parts of what it is the difference of, not of itself; LD stands for their size.
        expectClose(ours, golden.data, { ofMax: GRADIENT, atol: 3e-6 * Math.abs(ldClean), name });
        compared++;
      }
    expect(compared).toBe(
      gradients.names(`${id}/attribution/`).filter((name) => name.includes('.blocks.')).length,
    );
  });

  test.each(['case0', 'case2'])('the gradient averaged over 8 midpoints, %s', async (id) => {
    const gradients = await GradientGolden.open(folder);
    const sites = sitesOf(gradients, id, 'integrated');
    const [found] = await attributionPatching(gradients.model, [jobOf(gradients, id, sites)], {
      integrated: 8,
    });
    expect(found!.estimate).toEqual({ integrated: 8 });
    for (const { site, layers, positions, data } of found!.sites)
      for (const [l, layer] of layers.entries()) {
        const { tower, hook } = parseSite(gradients.model, site);
        const name = `${tower}.blocks.${layer}.${hook}`;
        const ours = positions.map((_, p) => data[2 * (l * positions.length + p) + 1]!);
        expectClose(ours, gradients.get(`${id}/integrated/${name}`).data, { ofMax: GRADIENT, name });
      }
  });
});

test('pairs of the same clean sample, image and text corrupt, have the bits of each alone', async () => {
  const gradients = await GradientGolden.open('blip-tiny');
  const sites = ['text_encoder.cross_attn.hook_z', 'vision.hook_mlp_out'].map((site) => ({ site }));
  const [image, text] = ['case0', 'case2'].map((id) => jobOf(gradients, id, sites)) as [SweepJob, SweepJob];
  // The text pair with the image pair's image and as many words: its own, shifted by one token.
  const { clean } = image;
  const changed = { ...clean, ids: clean.ids.map((token, p) => (p === 2 ? token + 1 : token)) };
  const jobs = [
    image,
    { ...text, clean, corrupt: changed, correct: image.correct, incorrect: image.incorrect },
  ];
  const together = await attributionPatching(gradients.model, jobs);
  for (const [i, job] of jobs.entries()) {
    const [alone] = await attributionPatching(gradients.model, [job]);
    alone!.sites.forEach(({ data, site }, s) => {
      expectSameBits(together[i]!.sites[s]!.data, data, { name: site });
    });
  }
  // Clean − corrupt is 0 in the tower that they share.
  const [, vision] = together[1]!.sites;
  expect(vision!.data.every((x, i) => i % 2 === 0 || x === 0)).toBe(true);
});

test('estimates of features add up to those of cells; some cells measured say how far they are off', async () => {
  const gradients = await GradientGolden.open('llava-tiny-gqa');
  const sites = [{ site: 'language.mlp.hook_post' }, { site: 'language.attn.hook_z', heads: true }];
  const job = jobOf(gradients, 'case0', sites);
  const [found] = await attributionPatching(gradients.model, [job], { features: true, verify: 6 });
  const [exact] = await sweep(gradients.model, [job], { controls: false, repeat: 0 });
  const [neurons] = found!.sites;
  const [layers, positions, width] = neurons!.features!.shape as [number, number, number];
  const largest = Math.max(...neurons!.data.filter((_, i) => i % 2 === 1).map(Math.abs));
  for (let cell = 0; cell < layers * positions; cell++) {
    const sum = neurons!.features!.data.subarray(cell * width, (cell + 1) * width).reduce((a, b) => a + b, 0);
    expect(Math.abs(sum - neurons!.data[2 * cell + 1]!)).toBeLessThan(1e-4 * largest);
  }
  const { cells, rankCorrelation, recall, largestError } = found!.verification!;
  expect(cells.length).toBe(12);
  for (const { site, index, estimate, effect } of cells) {
    expect(effect).toBe(exact!.sites[site]!.data[4 * index + 2]!);
    expect(Math.fround(estimate)).toBe(found!.sites[site]!.data[2 * index + 1]!);
    expect(Math.abs(estimate - effect)).toBeLessThanOrEqual(largestError);
  }
  expect(rankCorrelation).toBeGreaterThan(0.3);
  expect(recall).toBeGreaterThan(0);
});
