// Every family's gradients against central differences: along a random direction at one block of each kind of hook point, and
// at the pixels.

import { describe, expect, test } from 'vitest';
import { logitDifference, runWithGradients } from '../../src/patching/index.ts';
import { directionals, pixelDirectional } from '../support/central-difference.ts';
import { expectClose } from '../support/close.ts';
import { Golden, loadFixtureModel, TINY_MODELS } from '../support/golden.ts';
import { Random } from '../support/random.ts';

describe.each(TINY_MODELS)('%s', (folder) => {
  test('gradients are central differences', async () => {
    const random = new Random(11);
    const [golden, model] = [await Golden.open(folder), await loadFixtureModel(folder)];
    const { id, correct_token: correct, incorrect_token: incorrect } = golden.cases[0]!;
    const sample = golden.sample(id, 'corrupt');
    const sites = new Map<string, string[]>();
    for (const { name } of model.hooks) {
      const site = name.replace(/\.blocks\.\d+\./, '.');
      sites.set(site, [...(sites.get(site) ?? []), name]);
    }
    const names = [...sites.values()].map((own) => own[random.integer(own.length)] as string);
    const metric = logitDifference(correct, incorrect);
    const found = await runWithGradients(model, [sample], { metric, names, pixels: true });
    const numbers = await directionals(model, sample, found, { correct, incorrect }, random);
    for (const { name, gradient, difference, tolerance } of numbers)
      expectClose([gradient], [difference], { atol: tolerance, name });
    expect(numbers.length).toBe(sites.size);
    found.release();
    const pixels = await pixelDirectional(model, sample, found, { correct, incorrect }, random);
    expectClose([pixels.gradient], [pixels.difference], { atol: pixels.tolerance, name: pixels.name });
  });
});
