// How images come into the prompt, and which rows runs share.
import { beforeAll, describe, expect, test } from 'vitest';
import {
  type ForwardOptions,
  ModelRun,
  type Probe,
  type Sample,
  type VisionLanguageModel,
} from '../../src/models/index.ts';
import { runWithHooks } from '../../src/patching/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { GOLDEN, Golden, type GoldenRun, loadFixtureModel } from '../support/golden.ts';
import { activations, alteredConfig, alteredModel, IMAGE, WIDTH, weight } from './llava-support.ts';

let golden: Golden;
let model: VisionLanguageModel;
let sample: Sample;
beforeAll(async () => {
  golden = await Golden.open('llava-tiny');
  model = await loadFixtureModel('llava-tiny');
  sample = golden.sample('case0', 'clean');
});

/** A probe that only looks. */
function watching(wanted: RegExp, see: Probe['visit'] = () => {}): Probe {
  return { wants: (name) => wanted.test(name), forks: () => [], visit: see };
}

describe('vision_feature_layer', () => {
  const VISION_WIDTH = 32;
  const states = [
    'vision.blocks.0.hook_resid_pre',
    ...[0, 1, 2, 3].map((layer) => `vision.blocks.${layer}.hook_resid_post`),
  ];

  test.each([
    [-1, 4],
    [-2, 3],
    [0, 0],
    [2, 2],
  ])('%d is hidden state %d, without the class token', async (layer, state) => {
    const other = await alteredModel({ 'config.json': await alteredConfig({ vision_feature_layer: layer }) });
    const [whole, selected] = await activations(other, sample, [
      states[state] as string,
      'vision.hook_selected',
    ]);
    expectSameBits(selected as Float32Array, whole?.slice(VISION_WIDTH) as Float32Array);
    other.destroy();
  });

  test('strategy full keeps the class token', async () => {
    const config = await alteredConfig({ vision_feature_select_strategy: 'full' });
    const other = await alteredModel({ 'config.json': config });
    const { ids } = other.expand([1, IMAGE, 13]);
    expect(ids).toHaveLength(2 + other.imagePositions([other.blankImage()]));
    const names = [states[3] as string, 'vision.hook_selected', 'projector.hook_out', 'language.hook_embed'];
    const [whole, selected, features, embedded] = await activations(
      other,
      { images: sample.images, ids },
      names,
    );
    expectSameBits(selected as Float32Array, whole as Float32Array);
    expectSameBits(embedded?.slice(WIDTH, -WIDTH) as Float32Array, features as Float32Array);
    other.destroy();
  });

  test('blocks above are computed only for whoever looks at them', async () => {
    const dispatches = async (wanted: RegExp) => {
      const estimate = await model.gpu.count((w) =>
        model.forward(w, [new ModelRun(sample)], { probe: watching(wanted) }),
      );
      return estimate.dispatches;
    };
    const nobody = await dispatches(/^$/);
    expect(await dispatches(/^vision\.blocks\.[012]\.hook_resid_post$/)).toBe(nobody);
    expect(await dispatches(/^vision\.blocks\.3\.hook_resid_post$/)).toBeGreaterThan(nobody + 5);
  });
});

describe('the image token', () => {
  test.each<[string, number[]]>([
    ['first', [IMAGE, 286, 424]],
    ['last', [1, 286, 424, IMAGE]],
    ['in between', [1, 286, IMAGE, 424]],
    ['alone', [IMAGE]],
  ])('%s: its rows are the features, all others embeddings', async (_, prompt) => {
    const { ids, positions } = model.expand(prompt);
    const names = ['projector.hook_out', 'language.hook_embed'];
    const [features, rows] = await activations(model, { images: sample.images, ids }, names);
    const { data } = await weight('language_model.model.embed_tokens.weight');
    expect(rows).toHaveLength(WIDTH * (prompt.length + 24));
    prompt.forEach((id, i) => {
      const first = WIDTH * (positions[i] as number);
      const expected = id === IMAGE ? (features as Float32Array) : data.slice(WIDTH * id, WIDTH * (id + 1));
      expectSameBits(rows?.slice(first, first + expected.length) as Float32Array, expected);
    });
  });

  test('once or once for every feature: the same prompt', () => {
    for (const { clean } of golden.cases) {
      const { input_ids, expanded_input_ids } = clean as GoldenRun & { expanded_input_ids: number[] };
      expect(model.expand(input_ids).ids).toEqual(expanded_input_ids);
      expect(model.expand(expanded_input_ids).ids).toEqual(expanded_input_ids);
    }
  });

  test.each<[string, number[], RegExp]>([
    ['none', [1, 286], /image token \(id 479\) 0 times/],
    ['two', [IMAGE, 286, IMAGE], /image token \(id 479\) 2 times/],
    [
      'beyond the positions',
      [IMAGE, ...new Array<number>(104).fill(286)],
      /129 positions, this model reads at most 128/,
    ],
  ])('%s: refused', (_, ids, message) => {
    expect(() => model.expand(ids)).toThrow(
      expect.objectContaining({ code: 'text', message: expect.stringMatching(message) }),
    );
  });

  test('a prompt that was not expanded is refused', async () => {
    await expect(runWithHooks(model, [{ images: sample.images, ids: [1, IMAGE, 286] }], {})).rejects.toThrow(
      /1 image tokens \(id 479\), the image 25 features/,
    );
  });
});

describe('position ids', () => {
  const at = (first: number) => sample.ids.map((_, p) => p + first);

  test('after padding at the left they begin later; rotary embedding is relative, so the logits stay', async () => {
    const [logits] = await runWithHooks(model, [{ ...sample, places: at(9) }], {});
    expectClose(logits ?? [], golden.get('case0/clean/logits').data, { ofMax: GOLDEN });
  });

  test('an answer goes on from the last', async () => {
    const options = { maxNewTokens: 3, keepLogits: true };
    const [moved] = await model.generate([{ ...sample, places: at(9) }], options);
    const [plain] = await model.generate([sample], options);
    moved?.logits.forEach((row, step) => {
      expectClose(row, plain?.logits[step] ?? [], { ofMax: GOLDEN });
    });
    expect(moved?.logits).not.toEqual(plain?.logits);
  });

  test('beyond the model, or not as many as tokens: refused', async () => {
    await expect(runWithHooks(model, [{ ...sample, places: at(100) }], {})).rejects.toThrow(
      /position id 128/,
    );
    await expect(runWithHooks(model, [{ ...sample, places: [0, 1] }], {})).rejects.toThrow(/2 position ids/);
  });
});

describe('derived runs', () => {
  async function forward(
    runs: readonly ModelRun[],
    options: ForwardOptions = {},
  ): Promise<{ logits: Float32Array[]; rows: number[] }> {
    const rows: number[] = [];
    const probe = watching(
      /^language\.blocks\.\d+\.hook_resid_post$/,
      ({ tensor }) => void rows.push(tensor.rows),
    );
    return model.gpu.work(async (w) => {
      const { tensor, rowOf } = await model.forward(w, runs, { probe, ...options });
      const [values] = await w.read(tensor);
      const logits = runs.map((run) => {
        const first = rowOf(run) * tensor.columns;
        return (values as Float32Array).slice(first, first + tensor.columns);
      });
      return { logits, rows };
    });
  }

  /** A sample's run derived from another's: rows of both after every block; the logits must be those it has alone. */
  async function rowsOf(base: Sample, derived: Sample): Promise<number[]> {
    const root = new ModelRun(base);
    const { logits, rows } = await forward([root, new ModelRun(derived, root)]);
    const alone = await forward([new ModelRun(derived)]);
    expectSameBits(logits[1] as Float32Array, alone.logits[0] as Float32Array);
    return rows;
  }

  test('another text: rows from the first token that differs', async () => {
    const clean = golden.sample('case2', 'clean');
    const corrupt = { ...golden.sample('case2', 'corrupt'), images: clean.images };
    const same = clean.ids.findIndex((id, p) => id !== corrupt.ids[p]);
    expect(same).toBeGreaterThan(25);
    const rows = 2 * clean.ids.length - same;
    expect(await rowsOf(clean, corrupt)).toEqual([rows, rows, rows, rows]);
  });

  test('another image: rows from its first feature', async () => {
    const corrupt = { ...sample, images: [golden.image('case0', 'corrupt')] };
    const rows = 2 * sample.ids.length - sample.ids.indexOf(IMAGE);
    expect(await rowsOf(sample, corrupt)).toEqual([rows, rows, rows, rows]);
  });

  test('the image elsewhere: rows from the first position that differs', async () => {
    const before = model.expand([1, IMAGE, 286, 424, 13]).ids;
    const after = model.expand([1, 286, IMAGE, 424, 13]).ids;
    const rows = 2 * before.length - 1;
    const { images } = sample;
    expect(await rowsOf({ images, ids: before }, { images, ids: after })).toEqual([rows, rows, rows, rows]);
  });

  test('the same: no rows', async () => {
    const rows = sample.ids.length;
    expect(await rowsOf(sample, { ...sample, ids: [...sample.ids] })).toEqual([rows, rows, rows, rows]);
  });

  test('features of an earlier walk give the same logits without another look at the images', async () => {
    const samples = [sample, golden.sample('case0', 'corrupt')];
    const features = await model.gpu.work(async (w) => {
      const made = await model.encodeImages(
        w,
        samples.flatMap(({ images }) => images),
      );
      w.keep(...made.tensors);
      return made;
    });
    const { logits } = await forward(
      samples.map((s) => new ModelRun(s)),
      { features },
    );
    expect(logits).toEqual((await forward(samples.map((s) => new ModelRun(s)))).logits);
    const look = (options: ForwardOptions) =>
      model.gpu.count((w) => model.forward(w, [new ModelRun(sample)], options));
    const kernels = (estimate: Awaited<ReturnType<typeof look>>) => estimate.dispatches;
    const without = kernels(await look({}));
    const shared = kernels(await look({ features }));
    expect(shared).toBeLessThan(without / 1.5);
    // Whoever looks at the projector gets it computed.
    expect(kernels(await look({ features, probe: watching(/^projector\.hook_out$/) }))).toBe(without);
    model.gpu.release(...features.tensors);
  });
});

test('nothing is left in the pool', async () => {
  const used = () => model.gpu.pool.statistics.usedBytes;
  const before = used();
  await runWithHooks(model, [sample], {});
  await model.generate([sample], { maxNewTokens: 3 });
  await model.gpu.work((w) => model.encodeImages(w, sample.images));
  expect(used()).toBe(before);
});
