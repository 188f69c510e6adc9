import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { correctFirst } from '../../../src/notice/datasets/index.ts';
import {
  buildSvo,
  parseTriplets,
  readSvo,
  ruleQuestion,
  type SvoGrammar,
  svoDownloads,
} from '../../../src/notice/datasets/svo-probes.ts';
import { encode, freshFolder, reasons, writeImage, writeText } from './support.ts';

describe('triplets in their spellings', () => {
  test.each([
    ['girl,sit,grass', ['girl,sit,grass']],
    [' Girl , sit , Tall_Grass ', ['girl,sit,tall grass']],
    ["['girl,sit,grass']", ['girl,sit,grass']],
    ["['girl,sit,grass', 'girl,run,grass']", ['girl,sit,grass', 'girl,run,grass']],
    ['["girl,sit,grass"]', ['girl,sit,grass']],
    ["['girl', 'sit', 'grass']", ['girl,sit,grass']],
    ['["[\'girl,sit,grass\']"]', ['girl,sit,grass']],
    ['[girl,sit,grass]', ['girl,sit,grass']],
    ["['girl,hold,child\\'s toy']", ["girl,hold,child's toy"]],
    ["['mädchen,sitzen,wiese']", ['mädchen,sitzen,wiese']],
    ["['[]']", []],
    ['[]', []],
    ['[[]]', []],
    ['', []],
    ['girl,sit', []],
    ['girl,sit,', []],
    ['girl,sit,grass,park', []],
    ["['girl,sit']", []],
  ])('%s', (cell, expected) => {
    expect(parseTriplets(cell).map((triplet) => triplet.join(','))).toEqual(expected);
  });
});

describe('questions by rules', () => {
  test.each([
    ['girl,sit,grass', 'subject', 'boy', 'Is the girl or boy sitting on the grass?'],
    ['girl,sit,grass', 'verb', 'stand', 'Is the girl sitting or standing on the grass?'],
    ['girl,sit,grass', 'object', 'sand', 'Is the girl sitting on the grass or sand?'],
    ['girl,stand,grass', 'object', 'water', 'Is the girl standing on the grass or in the water?'],
    ['man,cross,street', 'verb', 'walk', 'Is the man crossing the street or walking on the street?'],
    ['woman,hold,dog', 'verb', 'walk', 'Is the woman holding or walking the dog?'],
    ['player,play,tennis', 'object', 'guitar', 'Is the player playing tennis or the guitar?'],
    ['player,kick,football', 'verb', 'play', 'Is the player kicking the football or playing football?'],
    ['children,play,field', 'verb', 'run', 'Are the children playing or running in the field?'],
    ['people,lie,beach', 'subject', 'dogs', 'Are the people or dogs lying on the beach?'],
    ['bird,fly,sky', 'object', 'sea', 'Is the bird flying in the sky or over the sea?'],
    ['dog,jump,fence', 'object', 'water', 'Is the dog jumping over the fence or into the water?'],
    ['woman,tie,scarf', 'verb', 'dye', 'Is the woman tying or dyeing the scarf?'],
    ['man,look at,camera', 'verb', 'hold', 'Is the man looking at or holding the camera?'],
    ['he,swim,pool', 'subject', 'she', 'Is he or she swimming in the pool?'],
    ['family,eat,restaurant', 'object', 'pizza', 'Is the family eating in the restaurant or the pizza?'],
    ['police,stand,street', 'subject', 'man', 'Are the police or man standing on the street?'],
    ['couple,picnic,park', 'verb', 'jog', 'Is the couple picnicking or jogging in the park?'],
    ['boy,lean,wall', 'verb', 'paint', 'Is the boy leaning against the wall or painting the wall?'],
    ['team,travel,bus', 'object', 'car', 'Is the team travelling on the bus or in the car?'],
    ['woman,sit,microphone', 'verb', 'stand', 'Is the woman sitting or standing by the microphone?'],
    ['girl,dance,man', 'object', 'stage', 'Is the girl dancing with the man or on the stage?'],
    ['man,frobnicate,teapot', 'verb', 'hold', 'Is the man frobnicating or holding the teapot?'],
  ] as const)('%s, %s or %s', (triplet, role, alternative, expected) => {
    const [subject, verb, object] = triplet.split(',') as [string, string, string];
    const { prompt, own, other } = ruleQuestion({ triplet: [subject, verb, object], role, alternative });
    expect(prompt).toBe(expected);
    expect(correctFirst({ cleanPrompt: prompt, correct: own, incorrect: other })).toBe(true);
  });
});

const HEADER =
  'sentence,pos_triplet,neg_triplet,pos_url,neg_url,pos_image_id,neg_image_id,subj_neg,verb_neg,obj_neg';
const row = (pos: string, neg: string, ids: readonly [string, string], flag: number, more = '') => {
  const flags = [0, 1, 2].map((i) => (i === flag ? 'True' : 'False')).join(',');
  const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
  const urls = ids.map((id) => `http://example.test/${id}.jpg`).join(',');
  return `"A sentence, with comma.",${quoted(pos)},${quoted(neg)},${urls},${ids.join(',')},${flags}${more}`;
};
const ROWS = [
  row('girl,sit,grass', "['girl,stand,grass']", ['1', '2'], 1),
  row('girl,sit,grass', "['boy,run,sea', 'boy,sit,grass']", ['1', '3.0'], 0), // the second triplet fits
  row('girl,sit,grass', "['girl,sit,sand']", ['1', '4'], 2),
  row('girl,sit,grass', "['[]']", ['1', '2'], 1), // bad triplet
  row('girl,sit,grass', 'girl,stand,sand', ['1', '2'], 1), // two differences
  row('girl,sit,grass', 'girl,sit,grass', ['1', '2'], 1), // none
  row('person,sit,grass', 'person,stand,grass', ['1', '2'], 1), // person
  row('girl,sit,grass', 'person,sit,grass', ['1', '2'], 0), // person
  row('girl,sit,grass', 'girl,stand,grass', ['1', '2'], 3), // no flag
  row('girl,sit,grass', 'girl,stand,grass', ['1', '2'], 1, ',extra'), // cells
  row('girl,sit,grass', "['girl,run,grass']", ['1', '99'], 1), // no image
  row('girl,sit,grass', "['girl,stand,grass']", ['4', '2'], 1), // asked before
  row('dog,lie,beach', "['dog,swim,beach']", ['3', '2'], 1),
  row('cat,sit,rug', "['bird,sit,rug']", ['98', '97'], 0), // no images, but words to replace others with
];

describe('SVO-Probes', () => {
  async function generated(): Promise<{ csv: string; images: string }> {
    const folder = await freshFolder();
    const csv = await writeText(join(folder, 'svo_probes.csv'), [HEADER, ...ROWS].join('\n'));
    const images = join(folder, 'images');
    for (const id of ['1', '2', '3']) await writeImage(join(images, `${id}.jpg`));
    await writeImage(join(images, '4.png'));
    await writeText(join(images, '99.jpg'), 'not an image');
    return { csv, images };
  }

  test('rows are read, and what cannot be used is named', async () => {
    const { csv } = await generated();
    const { rows, read, drops } = await readSvo(csv);
    expect(read).toBe(ROWS.length);
    expect(rows.map(({ index }) => index)).toEqual([0, 1, 2, 10, 11, 12, 13]);
    expect(rows[1]).toMatchObject({
      role: 'subject',
      negative: { triplet: ['boy', 'sit', 'grass'], name: '3' },
    });
    expect(reasons(drops)).toEqual([
      'bad-flags',
      'bad-triplet',
      'cell-count',
      'not-one-difference',
      'not-one-difference',
      'person',
      'person',
    ]);
    expect(drops.find(({ reason }) => reason === 'bad-triplet')?.source).toMatch(/row 4 \(line 5\)$/);
    expect(svoDownloads(rows).map(({ name }) => name)).toEqual(['1', '2', '3', '4', '99', '98', '97']);
  });

  test('both directions of each question; the same again for the same seed', async () => {
    const { csv, images } = await generated();
    const { pairs, report } = await buildSvo(csv, images, { seed: 1, encode });
    expect(pairs.map(({ id }) => id)).toEqual(
      ['00000', '00001', '00002', '00012'].flatMap((n) => [`svo-${n}-pos`, `svo-${n}-neg`]),
    );
    const [positive, negative] = pairs;
    expect(positive).toMatchObject({
      cleanImage: join(images, '1.jpg'),
      corruptImage: join(images, '2.jpg'),
      cleanPrompt: 'Is the girl sitting or standing on the grass?',
      correct: 'sitting',
      incorrect: 'standing',
      category: 'verb',
      metadata: { clean: { triple: ['girl', 'sit', 'grass'] } },
    });
    expect(negative).toMatchObject({
      cleanImage: join(images, '2.jpg'),
      correct: 'standing',
      incorrect: 'sitting',
    });
    const standIns = positive?.metadata?.str_options as readonly string[];
    expect(positive?.corruptPrompt).toBe(`Is the girl ${standIns[0]} or ${standIns[1]} on the grass?`);
    expect(['lying', 'swimming', 'running']).toEqual(expect.arrayContaining([...standIns]));
    expect(pairs.map((pair) => correctFirst(pair))).toEqual([
      true,
      false,
      true,
      false,
      true,
      false,
      true,
      false,
    ]);
    expect(reasons(report.drops).filter((reason) => /image|question/.test(reason))).toEqual([
      'bad-image',
      'duplicate-question',
      'image-missing',
      'image-missing',
    ]);
    expect(report).toMatchObject({ read: ROWS.length, kept: pairs.length });
    expect(await buildSvo(csv, images, { seed: 1, encode })).toEqual({ pairs, report });
  });

  test('a question that a grammar cannot make is counted', async () => {
    const { csv, images } = await generated();
    const grammar: SvoGrammar = async (question) =>
      question.role === 'verb' ? { problem: 'is too hard' } : ruleQuestion(question);
    const { pairs, report } = await buildSvo(csv, images, { seed: 1, encode, grammar });
    expect(pairs.every(({ category }) => category !== 'verb')).toBe(true);
    expect(report.drops.filter(({ reason }) => reason === 'grammar')).toHaveLength(2);
  });

  test('without ids, images are named by a hash of their URL', async () => {
    const folder = await freshFolder();
    const csv = await writeText(
      join(folder, 's.csv'),
      'pos_triplet,neg_triplet,pos_url,neg_url,subj_neg,verb_neg,obj_neg\n"a,b,c","a,b,d",http://x.test/1,http://x.test/2,0,0,1\n"a,b,c","a,b,d",,http://x.test/2,0,0,1\n',
    );
    const { rows, drops } = await readSvo(csv);
    expect(rows[0]?.positive.name).toMatch(/^[0-9a-f]{16}$/);
    expect(reasons(drops)).toEqual(['no-image']);
  });

  test('a file without its columns is an error', async () => {
    const folder = await freshFolder();
    const csv = await writeText(join(folder, 's.csv'), 'sentence,pos_triplet\nx,y\n');
    await expect(readSvo(csv)).rejects.toThrow(/lacks the columns neg_triplet, subj_neg/);
    await expect(readSvo(join(folder, 'no.csv'))).rejects.toThrow(/no\.csv cannot be read/);
  });
});
