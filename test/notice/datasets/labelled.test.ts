import { readFile, symlink } from 'node:fs/promises';
import { join, relative } from 'node:path';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import {
  buildAttributePairs,
  buildFer,
  buildMitStates,
  cosineSimilarity,
  DataError,
  extractFer,
  type Pair,
  readLabelledFolder,
  readLabelledTable,
  readManifest,
  readStateVectors,
  readWordVectors,
  STATES,
  withGeneratedImages,
  writeManifest,
} from '../../../src/notice/datasets/index.ts';
import { encode, freshFolder, reasons, writeImage, writeText } from './support.ts';

const options = { seed: 5, encode };

/** word2vec's binary format, written by its own C code as "%s " + floats + "\n". */
function word2vec(words: Readonly<Record<string, readonly number[]>>, newline = '\n'): Buffer {
  const entries = Object.entries(words);
  const header = `${entries.length} ${entries[0]?.[1].length}\n`;
  const body = entries.map(([word, vector]) =>
    Buffer.concat([
      Buffer.from(`${word} `),
      Buffer.from(Float32Array.from(vector).buffer),
      Buffer.from(newline),
    ]),
  );
  return Buffer.concat([Buffer.from(header), ...body]);
}

async function writeBytes(file: string, bytes: Buffer): Promise<string> {
  return await writeText(file, bytes as unknown as string);
}

describe('word2vec', () => {
  test.each(['\n', ''])('reads wanted words, separated by %j', async (newline) => {
    // A vector whose bytes are spaces and line breaks must not be taken for text.
    const spaces = new DataView(Uint8Array.from([32, 10, 32, 10]).buffer).getFloat32(0, true);
    const file = await writeBytes(
      join(await freshFolder(), 'v.bin'),
      word2vec({ old: [1, 2, 3], größer: [spaces, -0.5, 0], new_york: [4, 5, 6], wet: [7, 8, 9] }, newline),
    );
    const vectors = await readWordVectors(file, ['größer', 'wet', 'unknown']);
    expect(Object.fromEntries([...vectors].map(([word, vector]) => [word, [...vector]]))).toEqual({
      größer: [spaces, -0.5, 0],
      wet: [7, 8, 9],
    });
  });

  test('reads across chunk borders', async () => {
    const words = Object.fromEntries(
      Array.from({ length: 3000 }, (_, i) => [`w${i}`, Array.from({ length: 200 }, (_, j) => i + j / 256)]),
    );
    const file = await writeBytes(join(await freshFolder(), 'v.bin'), word2vec(words)); // 2.4 MB, chunks of 1 MB
    const vectors = await readWordVectors(file, Object.keys(words));
    expect(vectors.size).toBe(3000);
    for (const [word, vector] of vectors) expect([...vector]).toEqual(words[word]);
  });

  test('a file of another kind, or cut short, is an error', async () => {
    const folder = await freshFolder();
    const text = await writeText(join(folder, 'v.txt'), 'old 1 2 3\nnew 4 5 6\n');
    await expect(readWordVectors(text, ['old'])).rejects.toThrow(/no word2vec binary/);
    const whole = word2vec({ old: [1, 2, 3], new: [4, 5, 6] });
    const cut = await writeBytes(join(folder, 'cut.bin'), whole.subarray(0, whole.length - 6));
    await expect(readWordVectors(cut, ['new'])).rejects.toThrow(/ends in word 2 of 2/);
    await expect(readWordVectors(join(folder, 'none.bin'), ['x'])).rejects.toThrow(DataError);
  });

  test('cosine similarity', () => {
    const vector = (...values: number[]) => Float32Array.from(values);
    expect(cosineSimilarity(vector(3, 4), vector(6, 8))).toBeCloseTo(1, 12);
    expect(cosineSimilarity(vector(1, 0), vector(1, 1))).toBeCloseTo(Math.SQRT1_2, 12);
    expect(cosineSimilarity(vector(0, 0), vector(1, 1))).toBe(0);
  });
});

describe('MIT-States', () => {
  async function generated(): Promise<string> {
    const folder = join(await freshFolder(), 'images');
    const folders = {
      'cracked vase': 2,
      'broken vase': 2, // similar to cracked
      'empty vase': 3,
      'dark coffee_cup': 1,
      'new coffee_cup': 1,
      'fresh coffee_cup': 1, // similar to new
      'mossy rock': 2, // alone
      'unripe apple': 1, // not used by the paper
      'adj rock': 1,
    };
    for (const [name, count] of Object.entries(folders)) {
      for (let i = 0; i < count; i++) await writeImage(join(folder, name, `${i}.jpg`));
    }
    await writeText(join(folder, 'empty vase', 'broken.jpg'), 'no image');
    await writeText(join(folder, 'readme.txt'), 'x');
    await writeImage(join(folder, 'loose.png'));
    return folder;
  }

  test('counterparts are dissimilar states of the same noun', async () => {
    const folder = await generated();
    const { pairs, report } = await buildMitStates(folder, options);
    expect(pairs).toHaveLength(10);
    for (const { cleanImage, corruptImage, correct, incorrect, cleanPrompt } of pairs) {
      const [clean, corrupt] = [cleanImage, corruptImage].map((file) => relative(folder, file).split('/')[0]);
      const noun = clean?.slice(correct.length + 1);
      expect(clean).toBe(`${correct} ${noun}`);
      expect(corrupt).toBe(`${incorrect} ${noun}`);
      const spoken = noun?.replace('_', ' ');
      expect([`${correct} or ${incorrect}`, `${incorrect} or ${correct}`]).toContain(
        cleanPrompt.replace(`Is this ${spoken} `, '').replace('?', ''),
      );
      expect([correct, incorrect].sort()).not.toEqual(['broken', 'cracked']);
      expect([correct, incorrect].sort()).not.toEqual(['fresh', 'new']);
    }
    expect(pairs.find(({ id }) => id === 'mit-states-dark-coffee_cup-0')?.category).toBe('color');
    expect(pairs.find(({ id }) => id === 'mit-states-empty-vase-0')?.category).toBe('shape');
    expect(reasons(report.drops)).toEqual([
      'bad-image',
      'no-counterpart',
      'no-counterpart',
      'not-an-image',
      'not-in-state-folder',
      'state-not-used',
      'state-not-used',
    ]);
    expect(report).toMatchObject({ read: 17, kept: 10 });
    expect((await buildMitStates(folder, options)).pairs).toEqual(pairs);
    expect((await buildMitStates(folder, { ...options, seed: 6 })).pairs).not.toEqual(pairs);
  });

  test('stand-ins are states, similar to neither option', async () => {
    const { pairs } = await buildMitStates(await generated(), options);
    const states = Object.values(STATES.groups).flat();
    const similar = (a: string, b: string) =>
      STATES.similar.some((set) => set.includes(a) && set.includes(b));
    for (const { metadata, correct, incorrect } of pairs) {
      for (const word of metadata?.str_options ?? []) {
        expect(states).toContain(word);
        expect(similar(word, correct) || similar(word, incorrect)).toBe(false);
      }
    }
  });

  test('word vectors exclude further states, from the threshold on', async () => {
    const folder = await generated();
    // dark–new 0.6, dark–fresh 0.8, new–fresh 0 (excluded by the table all the same)
    const file = await writeBytes(
      join(folder, '..', 'v.bin'),
      word2vec({ new: [1, 0, 0], fresh: [0, 1, 0], dark: [0.6, 0.8, 0] }),
    );
    const vectors = await readStateVectors(file);
    const incorrect = async (threshold: number) => {
      const { pairs } = await buildMitStates(folder, { ...options, similarity: { vectors, threshold } });
      return pairs
        .filter(({ cleanPrompt }) => cleanPrompt.includes('coffee cup'))
        .map((pair) => pair.incorrect);
    };
    expect(await incorrect(0.9)).toHaveLength(3);
    expect((await incorrect(0.7)).sort()).toEqual(['dark', 'new']);
    expect(await incorrect(0.5)).toEqual([]);
  });

  test('the manifest written above the images is sound', async () => {
    const folder = await generated();
    const { pairs } = await buildMitStates(folder, options);
    const file = join(folder, '..', 'mit.csv');
    await writeManifest(file, pairs);
    expect((await readManifest(file)).pairs).toEqual(pairs);
  });
});

describe('FER-2013', () => {
  const face = (value: (i: number) => number | string) =>
    Array.from({ length: 48 * 48 }, (_, i) => value(i)).join(' ');
  const grey = (shift: number) => face((i) => (i + shift) % 256);

  test('a CSV of pixels becomes folders of PNG files, byte for byte', async () => {
    const folder = await freshFolder();
    const rows = [
      `0,${grey(0)},Training`,
      `3,${grey(7)},Training`,
      `6,${grey(9)},PublicTest`,
      `7,${grey(1)},Training`,
      `x,${grey(1)},Training`,
      `1,${grey(1)},../up`,
      `1,1 2 3,Training`,
      `1,${face((i) => (i === 5 ? 256 : 1))},Training`,
      `1,${face((i) => (i === 5 ? '1.5' : 1))},Training`,
      `2,${face(() => 0)},Training`,
      '1,1',
    ];
    const csv = await writeText(join(folder, 'fer2013.csv'), `emotion,pixels,Usage\n${rows.join('\n')}\n`);
    const report = await extractFer(csv, join(folder, 'faces'));
    expect(report).toMatchObject({ read: 11, kept: 3 });
    expect(reasons(report.drops)).toEqual([
      'bad-emotion',
      'bad-emotion',
      'bad-pixels',
      'bad-pixels',
      'bad-pixels',
      'bad-usage',
      'blank',
      'cell-count',
    ]);
    const file = join(folder, 'faces', 'Training', 'happy', '00001.png');
    expect(await sharp(file).metadata()).toMatchObject({ format: 'png', width: 48, height: 48, channels: 1 });
    const data = await sharp(file).extractChannel(0).raw().toBuffer();
    expect([...data].join(' ')).toBe(grey(7));
    expect(await sharp(join(folder, 'faces', 'PublicTest', 'neutral', '00002.png')).metadata()).toMatchObject(
      {
        width: 48,
      },
    );
  });

  async function folders(): Promise<string> {
    const folder = join(await freshFolder(), 'images');
    for (const split of ['train', 'validation']) {
      for (const emotion of ['angry', 'Disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral']) {
        for (const n of [1, 2]) await writeImage(join(folder, split, emotion, `${n}.jpg`));
      }
    }
    await writeImage(join(folder, 'train', 'bored', '1.jpg'));
    return folder;
  }

  test('opposing sentiment: happiness against the other six, within a split', async () => {
    const { pairs, report } = await buildFer(await folders(), options);
    expect(pairs).toHaveLength(28);
    expect(reasons(report.drops)).toEqual(['unknown-emotion']);
    for (const pair of pairs) {
      expect([pair.correct, pair.incorrect].filter((emotion) => emotion === 'happy')).toHaveLength(1);
      expect(pair.category).toBe(pair.correct);
      expect(pair.cleanPrompt).toMatch(/^Is this person feeling \w+ or \w+\?$/);
      expect(pair.corruptPrompt).toMatch(/^Is this person feeling \w+ or \w+\?$/);
      const split = (file: string) => /train|validation/.exec(file)?.[0];
      expect(split(pair.cleanImage)).toBe(split(pair.corruptImage));
    }
    expect(new Set(pairs.map(({ correct }) => correct)).size).toBe(7);
  });

  test('any other emotion', async () => {
    const { pairs } = await buildFer(await folders(), { ...options, counterparts: 'any' });
    expect(pairs).toHaveLength(28);
    expect(pairs.some(({ correct, incorrect }) => correct !== 'happy' && incorrect !== 'happy')).toBe(true);
    expect(pairs.every(({ correct, incorrect }) => correct !== incorrect)).toBe(true);
  });

  test('a stand-in is no shade of either option', async () => {
    const { pairs } = await buildFer(await folders(), options);
    const happy = ['happy', 'amused', 'pleased', 'content', 'grateful', 'hopeful', 'relieved', 'satisfied'];
    for (const { metadata } of pairs) {
      for (const word of metadata?.str_options ?? []) expect(happy).not.toContain(word);
    }
  });
});

describe('labelled images', () => {
  const prompts = { color: 'Is the {shape} {options}?', shape: 'Is the {color} thing a {options}?' };

  async function shapes(): Promise<string> {
    const folder = join(await freshFolder(), 'images');
    for (const path of [
      'red/big_circle',
      'blue/big_circle',
      'green/big_circle',
      'red/square',
      'pink/square',
    ]) {
      await writeImage(join(folder, path, '1.png'));
    }
    await writeImage(join(folder, 'teal', '1.png'));
    return folder;
  }

  test('links to folders and files are followed, also out of the folder; cycles end', async () => {
    const folder = join(await freshFolder(), 'images');
    await writeImage(join(folder, 'red/star/1.png'));
    await writeImage(join(folder, '../store/blue/star/2.png'));
    await symlink('../store/blue', join(folder, 'blue'));
    await symlink('../store/blue', join(folder, 'navy')); // the same images in another class
    await symlink('../../../store/blue/star/2.png', join(folder, 'red/star/3.png'));
    await symlink('..', join(folder, 'red/up'));
    await symlink('nowhere', join(folder, 'gone'));
    await symlink('itself.png', join(folder, 'itself.png'));
    const { images, report } = await readLabelledFolder(folder, ['color', 'shape']);
    expect(images.map(({ id, attributes }) => `${id}: ${attributes.color}`)).toEqual([
      'blue-star-2: blue',
      'navy-star-2: navy',
      'red-star-1: red',
      'red-star-3: red',
    ]);
    expect(
      report.drops.map(({ source, reason, detail }) => `${source}: ${reason}, ${detail}`).sort(),
    ).toEqual([
      'gone: link, leads to nothing',
      'itself.png: link, leads to nothing',
      'red/up: link, leads to a folder that it lies in',
    ]);
  });

  test('folders are labels; pairs differ in exactly one attribute', async () => {
    const { images, report } = await readLabelledFolder(await shapes(), ['color', 'shape']);
    expect(reasons(report.drops)).toEqual(['wrong-depth']);
    const { pairs, report: built } = buildAttributePairs(images, { ...options, name: 'shapes', prompts });
    const attributesOf = new Map(images.map(({ file, attributes }) => [file, attributes]));
    for (const { cleanImage, corruptImage, category } of pairs) {
      const [clean, corrupt] = [cleanImage, corruptImage].map((file) => attributesOf.get(file));
      const differing = ['color', 'shape'].filter((name) => clean?.[name] !== corrupt?.[name]);
      expect(differing).toEqual([category]);
    }
    // Two shapes leave no word to replace "square" and "big circle" with.
    expect(pairs.map(({ category }) => category)).toEqual(Array(5).fill('color'));
    expect(pairs[0]?.cleanPrompt).toMatch(/^Is the big circle (blue or|\w+ or blue)/);
    expect(reasons(built.drops)).toEqual([
      ...Array(3).fill('no-counterpart'),
      ...Array(2).fill('no-replacement'),
    ]);
  });

  test('a table of images', async () => {
    const folder = await freshFolder();
    for (const name of ['a b.png', 'c,d.png', 'é.png', 'f.png']) await writeImage(join(folder, 'i', name));
    await writeText(join(folder, 'i', 'bad.png'), 'x');
    const csv = await writeText(
      join(folder, 't.csv'),
      '\uFEFFfile,bird,wing\n"a b.png",jay,blue\n"c,d.png",jay,red\né.png,jay,dark_green\nf.png,jay,\nbad.png,jay,red\nmissing.png,jay,red\né.png,jay,blue\nx\n',
    );
    const columns = { image: 'file', attributes: ['bird', 'wing'] };
    const { images, report } = await readLabelledTable(csv, join(folder, 'i'), columns);
    expect(images.map(({ attributes }) => attributes.wing)).toEqual(['blue', 'red', 'dark green']);
    expect(report).toMatchObject({ read: 8, kept: 3 });
    expect(reasons(report.drops)).toEqual([
      'bad-image',
      'bad-image',
      'cell-count',
      'duplicate-image',
      'empty-field',
    ]);
    await expect(readLabelledTable(csv, folder, { image: 'path', attributes: [] })).rejects.toThrow(
      /lacks the column path/,
    );
  });

  test('a question must ask for its options, and for attributes that there are', async () => {
    const { images } = await readLabelledFolder(await shapes(), ['color', 'shape']);
    const build = (questions: Record<string, string>) => () =>
      buildAttributePairs(images, { ...options, name: 'x', prompts: questions });
    expect(build({ color: 'Is it red?' })).toThrow(/lacks \{options\}/);
    expect(build({ color: 'Is the {size} one {options}?' })).toThrow(
      /names \{size\}; there are color, shape/,
    );
    expect(build({ size: 'Is it {options}?' })).toThrow(/no attribute "size"/);
  });
});

describe('generated images', () => {
  async function setUp(): Promise<{ pairs: Pair[]; folder: string }> {
    const folder = await freshFolder();
    const pair = (id: string, clean: string, corrupt: string): Pair => ({
      id,
      cleanImage: join(folder, clean),
      corruptImage: join(folder, corrupt),
      cleanPrompt: 'is it red or blue?',
      corruptPrompt: 'is it old or new?',
      correct: 'red',
      incorrect: 'blue',
      category: 'c',
      metadata: { clean: { relation: 'a' }, corrupt: { relation: 'b' } },
    });
    const pairs = [
      pair('p1', 'x/1.png', 'x/2.png'),
      pair('p2', 'x/3.png', 'x/4.png'),
      pair('p3', 'x/5.png', 'y/1.png'),
    ];
    return { pairs: [...pairs, pair('p4', 'x/6.png', 'x/7.png')], folder: join(folder, 'generated') };
  }

  test('are matched by id, then by file name; the rest is counted', async () => {
    const { pairs, folder } = await setUp();
    await writeImage(join(folder, 'p1.jpg'));
    await writeImage(join(folder, '3.webp'));
    await writeImage(join(folder, '1.png')); // p3's corrupt image is called so, and p1's clean one
    await writeImage(join(folder, 'other.png'));
    await writeImage(join(folder, 'twice.png'));
    await writeImage(join(folder, 'twice.jpg'));
    const { pairs: kept, report } = await withGeneratedImages(pairs, folder);
    expect(kept.map(({ id, corruptImage }) => [id, relative(folder, corruptImage)])).toEqual([
      ['p1', 'p1.jpg'],
      ['p2', '3.webp'],
    ]);
    expect(kept[0]?.metadata).toEqual({ clean: { relation: 'a' }, generated: true });
    expect(kept[0]?.cleanImage).toBe(pairs[0]?.cleanImage);
    expect(reasons(report.drops)).toEqual([
      'ambiguous-image',
      'ambiguous-name',
      'ambiguous-name',
      'generated-missing',
      'generated-unused',
    ]);
  });

  test('a folder that is not there is an error', async () => {
    const { pairs, folder } = await setUp();
    await expect(withGeneratedImages(pairs, folder)).rejects.toThrow(/cannot be read/);
  });
});

test('drops are written as JSON lines', async () => {
  const { writeDrops, countDrops } = await import('../../../src/notice/datasets/index.ts');
  const drops = [
    { source: 'a', reason: 'x', detail: 'line\nbreak' },
    { source: 'b', reason: 'x', detail: '<b>' },
    { source: 'c', reason: 'a', detail: '' },
  ];
  const file = join(await freshFolder(), 'new', 'drops.jsonl');
  await writeDrops(file, drops);
  expect(
    (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual(drops);
  expect(countDrops(drops)).toEqual({ a: 1, x: 2 });
});
