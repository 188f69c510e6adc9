// `notice data …` on small generated folders: what is written, what is printed, what is counted.

import { readFile, realpath, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeEach, describe, expect, test } from 'vitest';
import { readManifest } from '../../src/notice/datasets/index.ts';
import { serve } from '../hub/server.ts';
import { freshFolder, writeImage, writeText } from '../notice/datasets/support.ts';
import { notice, run, SHAPES } from './support.ts';

let folder: string;
beforeEach(async () => {
  folder = await freshFolder();
});

/** The reasons of NAME.drops.jsonl, counted. */
async function dropsOf(name: string): Promise<Record<string, number>> {
  const lines = (await readFile(join(folder, `${name}.drops.jsonl`), 'utf8')).split('\n').filter(Boolean);
  const counts: Record<string, number> = {};
  for (const line of lines) {
    const { reason, source, detail } = JSON.parse(line) as Record<string, string>;
    expect([typeof reason, typeof source, typeof detail]).toEqual(['string', 'string', 'string']);
    counts[`${reason}`] = (counts[`${reason}`] ?? 0) + 1;
  }
  return counts;
}

const pairsOf = async (name: string) => (await readManifest(join(folder, `${name}.csv`))).pairs;

describe('MIT-States', () => {
  const states = ['small', 'large', 'tiny', 'new', 'old', 'wet', 'big'];

  beforeEach(async () => {
    for (const state of states)
      for (const n of [1, 2]) await writeImage(join(folder, `mit/${state} apple/${n}.png`));
    await writeText(join(folder, 'mit/new apple/broken.png'), 'no image');
  });

  test('manifest, metadata, table of drops', async () => {
    const args = ['data', 'mit-states', '--images', 'mit', '--out', 'm.csv', '--seed', '3'];
    const { stdout, stderr } = await run(args, { cwd: folder });
    const pairs = await pairsOf('m');
    expect(await dropsOf('m')).toMatchObject({ 'bad-image': 1, 'state-not-used': 2 });
    expect(stdout).toMatch(/\| bad-image +\| +1 \| new apple\/broken\.png: /);
    expect(stdout).toMatch(new RegExp(`15 images → ${pairs.length} pairs in m.csv: color \\d+, shape \\d+`));
    expect(stderr).toMatch(/Token lengths are those of the embedded model/);
    for (const { correct, incorrect, metadata } of pairs) {
      expect([correct, incorrect].sort()).not.toEqual(['small', 'tiny']); // similar by the table
      expect(metadata?.str_options).toHaveLength(2);
    }
    const again = await run([...args.slice(0, 5), 'n.csv', ...args.slice(6)], { cwd: folder });
    expect(again.stdout).toContain('n.csv');
    expect(await readFile(join(folder, 'n.csv'), 'utf8')).toBe(await readFile(join(folder, 'm.csv'), 'utf8'));
  });

  test('--word2vec excludes what is close in it', async () => {
    // Every state lies in one direction but for "wet": only pairs with it remain.
    const vectors = Object.fromEntries(states.map((state) => [state, state === 'wet' ? [0, 1] : [1, 0]]));
    const parts = Object.entries(vectors).map(([word, vector]) =>
      Buffer.concat([
        Buffer.from(`${word} `),
        Buffer.from(Float32Array.from(vector).buffer),
        Buffer.from('\n'),
      ]),
    );
    const file = Buffer.concat([Buffer.from(`${parts.length} 2\n`), ...parts]);
    await writeText(join(folder, 'v.bin'), file as unknown as string);
    const similar = ['--word2vec', 'v.bin', '--similarity', '0.9', '--tokenizer', SHAPES];
    const { stderr } = await run(['data', 'mit-states', '--images', 'mit', '--out', 'm.csv', ...similar], {
      cwd: folder,
    });
    expect(stderr).toBe('');
    const pairs = await pairsOf('m');
    expect(pairs.length).toBeGreaterThan(0);
    expect(pairs.every(({ correct, incorrect }) => correct === 'wet' || incorrect === 'wet')).toBe(true);
  });

  test('no pair: the drops are there, the manifest is not', async () => {
    const args = ['data', 'mit-states', '--images', 'mit/wet apple', '--out', 'none.csv'];
    const { status, stderr } = await notice(args, { cwd: folder });
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /2 images gave no pair, so none\.csv was not written\. none\.drops\.jsonl says why/,
    );
    expect(await dropsOf('none')).toEqual({ 'not-in-state-folder': 2 });
    await expect(readFile(join(folder, 'none.csv'))).rejects.toThrow(/ENOENT/);
  });

  test('a manifest that does not stand above its images', async () => {
    const { status, stderr } = await notice(['data', 'mit-states', '--images', 'mit', '--out', 'sub/m.csv'], {
      cwd: folder,
    });
    expect(status).toBe(1);
    expect(stderr).toMatch(/lies outside .*sub\. Write the manifest above its images/);
  });
});

test('FER-2013: faces of the CSV, then pairs of opposing sentiment; broken rows counted', async () => {
  const pixels = (step: number) => Array.from({ length: 48 * 48 }, (_, i) => (i * step) % 256).join(' ');
  const rows = Array.from({ length: 14 }, (_, i) => `${i % 7},${pixels(i + 1)},Training`);
  rows.push(
    `9,${pixels(3)},Training`,
    '3,1 2 3,Training',
    `3,${Array(2304).fill(7).join(' ')},Training`,
    '3',
  );
  await writeText(join(folder, 'fer2013.csv'), `emotion,pixels,Usage\n${rows.join('\n')}\n`);
  const args = [
    'data',
    'fer',
    '--csv',
    'fer2013.csv',
    '--images',
    'fer',
    '--out',
    'f.csv',
    '--tokenizer',
    SHAPES,
  ];
  const { stdout } = await run(args, { cwd: folder });
  expect(stdout).toMatch(/^14 faces of 18 rows in fer\n/);
  expect(await dropsOf('f')).toEqual({ 'bad-emotion': 1, 'bad-pixels': 1, blank: 1, 'cell-count': 1 });
  const pairs = await pairsOf('f');
  expect(pairs).toHaveLength(14);
  expect(pairs.every(({ correct, incorrect }) => (correct === 'happy') !== (incorrect === 'happy'))).toBe(
    true,
  );

  const any = ['data', 'fer', '--images', 'fer', '--out', 'any.csv', '--counterparts', 'any'];
  await run(any, { cwd: folder });
  const others = await pairsOf('any');
  expect(others.some(({ correct, incorrect }) => correct !== 'happy' && incorrect !== 'happy')).toBe(true);
});

describe('attributes', () => {
  const COLORS = ['red', 'blue', 'green', 'yellow'];

  test('of folders, each attribute with its question', async () => {
    for (const color of COLORS)
      for (const shape of ['circle', 'square', 'star', 'ring'])
        await writeImage(join(folder, `toys/${color}/${shape}/1.png`));
    await writeImage(join(folder, 'toys/loose.png'));
    const ask = [
      '--ask',
      'color=Is the {shape} {options}?',
      '--ask',
      'shape=Is this {color} thing a {options}?',
    ];
    const args = [
      'data',
      'attributes',
      '--images',
      'toys',
      '--attributes',
      'color,shape',
      ...ask,
      '--out',
      'toys.csv',
    ];
    const { stdout } = await run(args, { cwd: folder });
    expect(stdout).toMatch(/17 images → 32 pairs in toys\.csv: color 16, shape 16/);
    expect(await dropsOf('toys')).toEqual({ 'wrong-depth': 1 });
    const pairs = await pairsOf('toys');
    const round = pairs.find(({ id }) => id === 'toys-shape-red-circle-1');
    expect(round?.cleanPrompt).toMatch(/^Is this red thing a (circle or \w+|\w+ or circle)\?$/);
  });

  test('of three values: more words, or no text corruption', async () => {
    for (const color of COLORS.slice(0, 3)) await writeImage(join(folder, `few/${color}/1.png`));
    const args = ['data', 'attributes', '--images', 'few', '--attributes', 'color', '--out', 'few.csv'];
    args.push('--ask', 'color=Is it {options}?');
    const few = await notice(args, { cwd: folder });
    expect(few.stderr).toMatch(/color: 3 words \(blue, green, red\), but.*--stand-ins color=.*--no-str/);
    expect(few.status).toBe(1);

    await run([...args, '--no-str'], { cwd: folder });
    for (const { cleanPrompt, corruptPrompt } of await pairsOf('few'))
      expect(corruptPrompt).toBe(cleanPrompt);
    expect(await pairsOf('few')).toHaveLength(3);

    await run([...args, '--stand-ins', 'color=yellow,purple'], { cwd: folder });
    const pairs = await pairsOf('few');
    expect(pairs).toHaveLength(3);
    for (const { corruptPrompt } of pairs) expect(corruptPrompt).toMatch(/yellow|purple/);

    const wrong = await notice([...args, '--stand-ins', 'colour=yellow'], { cwd: folder });
    expect(wrong).toMatchObject({ status: 2, stderr: expect.stringContaining('there is no --ask colour=') });
  });

  test('of a CSV, its own columns and names; a bad question is an error', async () => {
    const names = ['größer, "rot".png', 'b.png', 'c.png', 'd.png'];
    for (const name of names) await writeImage(join(folder, 'pics', name));
    const cell = (text: string) => `"${text.replaceAll('"', '""')}"`;
    const rows = names.map((name, i) => `${cell(name)},${COLORS[i]},car`);
    await writeText(join(folder, 'cars.csv'), `file,paint,kind\n${rows.join('\n')}\nnowhere.png,red,car\n`);
    const csv = [
      '--csv',
      'cars.csv',
      '--image-column',
      'file',
      '--attributes',
      'paint,kind',
      '--images',
      'pics',
    ];
    const args = (question: string) => [
      'data',
      'attributes',
      ...csv,
      '--ask',
      question,
      '--out',
      'cars-sip.csv',
    ];
    await run(args('paint=Is the {kind} {options}?'), { cwd: folder });
    expect(await dropsOf('cars-sip')).toEqual({ 'bad-image': 1 });
    const pairs = await pairsOf('cars-sip');
    expect(pairs).toHaveLength(4);
    expect(pairs.some(({ cleanImage }) => cleanImage.endsWith('größer, "rot".png'))).toBe(true);

    const wrong = await notice(args('paint=Is the {size} {options}?'), { cwd: folder });
    expect(wrong).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/names \{size\}; there are paint, kind/),
    });
  });
});

const SVO_HEADER =
  'sentence,pos_triplet,neg_triplet,subj_neg,verb_neg,obj_neg,pos_url,neg_url,pos_image_id,neg_image_id';

describe('SVO-Probes', () => {
  test('download, twice; then pairs by rules', async () => {
    const picture = await sharp({ create: { width: 8, height: 8, channels: 3, background: '#345' } })
      .png()
      .toBuffer();
    const { url, requests } = await serve((request, response) => {
      if (request.url?.startsWith('/gone')) response.writeHead(404).end('gone');
      else if (request.url?.startsWith('/page')) response.end('<html>no picture</html>');
      else response.end(picture);
    });
    const rows = [
      `A girl,"girl,sit,grass","boy,sit,grass",True,False,False,${url}/1.png,${url}/2.png,1,2`,
      `A dog,"dog,run,beach","dog,swim,beach",False,True,False,${url}/3.png,${url}/4.png,3,4`,
      `A man,"man,hold,cup","man,hold,ball",False,False,True,${url}/5.png,${url}/gone.png,5,6`,
      `A cat,"cat,lie,bed","cat,lie,floor",False,False,True,${url}/page.png,${url}/1.png,7,1`,
      `A child,"person,sit,grass","boy,sit,grass",True,False,False,${url}/8.png,${url}/9.png,8,9`,
      'Broken,[],[],True,False,False,,,10,11',
    ];
    await writeText(join(folder, 'svo_probes.csv'), `${SVO_HEADER}\n${rows.join('\n')}\n`);
    const download = ['data', 'svo-download', '--csv', 'svo_probes.csv', '--images', 'svo', '--pause', '0'];
    const first = await run(download, { cwd: folder });
    expect(first.stdout).toMatch(/^7 images of 4 rows: 5 downloaded, 0 there before, 2 missing/);
    expect(first.stdout).toMatch(/\| lost +\| +2 \| /);
    const asked = requests.length;
    const second = await run(download, { cwd: folder });
    expect(second.stdout).toMatch(/^7 images of 4 rows: 0 downloaded, 5 there before, 2 missing/);
    expect(requests.length).toBe(asked);
    await run([...download, '--retry-failed'], { cwd: folder });
    expect(requests.length).toBe(asked + 2);

    const build = ['data', 'svo-probes', '--csv', 'svo_probes.csv', '--images', 'svo', '--out', 'p.csv'];
    const outcome = await notice(build, { cwd: folder });
    const drops = await dropsOf('p');
    expect(drops).toMatchObject({ 'image-missing': 2, person: 1, 'bad-triplet': 1 });
    const pairs = await pairsOf('p').catch(() => []);
    // Both directions of two rows; those that no word of so small a data set can stand in for are drops.
    expect(pairs.length + (drops['no-replacement'] ?? 0)).toBe(4);
    expect(outcome.status).toBe(pairs.length > 0 ? 0 : 1);
  });

  test('questions by an endpoint, kept on disk', async () => {
    const subjects = ['circle', 'square', 'star', 'ring', 'heart', 'cross']; // words of the embedded model
    const pairs = subjects.map((subject, i) => [subject, subjects[(i + 1) % subjects.length]] as const);
    const rows = pairs.map(
      ([own, other], i) => `x,"${own},sit,grass","${other},sit,grass",True,False,False,u,v,${i},${i + 20}`,
    );
    for (const i of pairs.keys()) {
      await writeImage(join(folder, `svo/${i}.png`));
      await writeImage(join(folder, `svo/${i + 20}.png`));
    }
    await writeText(join(folder, 'svo_probes.csv'), `${SVO_HEADER}\n${rows.join('\n')}\n`);
    const server = await serve((_, response, body) => {
      const { messages } = JSON.parse(body) as { messages: { content: string }[] };
      const raw = messages.at(-1)?.content ?? '';
      const content = raw.replace(/^is (\w+) or (\w+) sit grass\?/, 'Is the $1 or $2 sitting on the grass?');
      response.end(JSON.stringify({ choices: [{ message: { content } }] }));
    });
    const build = ['data', 'svo-probes', '--csv', 'svo_probes.csv', '--images', 'svo', '--out', 'p.csv'];
    const endpoint = ['--grammar', 'endpoint', '--endpoint', `${server.url}/v1`, '--endpoint-model', 'tiny'];
    const options = { cwd: folder, env: { OPENAI_API_KEY: 'secret' } };
    const { stdout } = await run([...build, ...endpoint], options);
    expect(stdout).toMatch(/6 rows → 12 pairs in p\.csv: subject 12/);
    expect(server.requests).toHaveLength(6);
    expect(server.requests[0]).toMatchObject({
      line: 'POST /v1/chat/completions',
      headers: { authorization: 'Bearer secret' },
    });
    expect((await pairsOf('p'))[0]?.cleanPrompt).toBe('Is the circle or square sitting on the grass?');
    await run([...build, ...endpoint], options);
    expect(server.requests).toHaveLength(6);

    const half = await notice([...build, '--grammar', 'endpoint'], { cwd: folder });
    expect(half).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/needs --endpoint and --endpoint-model/),
    });
  });
});

describe('manifests from manifests', () => {
  beforeEach(async () => {
    const options = ['red', 'blue', 'green', 'yellow'];
    const rows: string[] = [];
    for (let i = 0; i < 8; i++) {
      await writeImage(join(folder, `img/${i}a.png`));
      await writeImage(join(folder, `img/${i}b.png`));
      const [correct, incorrect] = [options[i % 4], options[(i + 1) % 4]];
      const prompt = i % 2 ? `is it ${correct} or ${incorrect}?` : `is it ${incorrect} or ${correct}?`;
      rows.push(
        `img/${i}a.png,img/${i}b.png,${prompt},${prompt},${correct},${incorrect},${i < 4 ? 'near' : 'far'}`,
      );
    }
    const header =
      'clean_image_path,corrupt_image_path,clean_prompt,corrupt_prompt,correct_answer,incorrect_answer,category';
    await writeText(join(folder, 'm.csv'), `${header}\n${rows.join('\n')}\n`);
  });

  test('select: balanced, seeded; too many are an error that says how many there are', async () => {
    const select = (n: string, ...more: string[]) => [
      'data',
      'select',
      '--data',
      'm.csv',
      '--n',
      n,
      '--out',
      's.csv',
      ...more,
    ];
    await run(select('4', '--seed', '5'), { cwd: folder });
    const chosen = await pairsOf('s');
    expect(chosen).toHaveLength(4);
    const first = chosen.filter(({ cleanPrompt, correct }) => cleanPrompt.startsWith(`is it ${correct} or`));
    expect(first).toHaveLength(2);
    await run(select('2', '--per-category'), { cwd: folder });
    expect((await pairsOf('s')).map(({ category }) => category).sort()).toEqual([
      'far',
      'far',
      'near',
      'near',
    ]);
    const many = await notice(select('100'), { cwd: folder });
    expect(many).toMatchObject({ status: 1, stderr: expect.stringMatching(/Ask for at most 8/) });
    await run(select('100', '--fewer'), { cwd: folder });
    expect(await pairsOf('s')).toHaveLength(8);
  });

  test('str: the corrupt prompts anew', async () => {
    await run(['data', 'str', '--data', 'm.csv', '--out', 'str.csv', '--tokenizer', SHAPES], { cwd: folder });
    for (const { cleanPrompt, corruptPrompt, correct, incorrect } of await pairsOf('str')) {
      expect(corruptPrompt).not.toBe(cleanPrompt);
      expect(corruptPrompt).not.toMatch(new RegExp(`\\b(${correct}|${incorrect})\\b`));
    }
  });

  test('generated: inpainted counterparts', async () => {
    for (const name of ['0a', '1a', '2b', 'nobody'])
      await writeImage(join(folder, `made/${name}.png`), '#123456');
    await run(['data', 'generated', '--data', 'm.csv', '--images', 'made', '--out', 'g.csv'], {
      cwd: folder,
    });
    const pairs = await pairsOf('g');
    expect(pairs.map(({ corruptImage }) => corruptImage.replace(/^.*\//, ''))).toEqual([
      '0a.png',
      '1a.png',
      '2b.png',
    ]);
    expect(await dropsOf('g')).toEqual({ 'generated-missing': 5, 'generated-unused': 1 });
  });

  test('check: images behind links that lead out of the folder are listed, and used', async () => {
    const store = await realpath(await freshFolder());
    await rename(join(folder, 'img/1a.png'), join(store, '1a.png'));
    await symlink(join(store, '1a.png'), join(folder, 'img/1a.png'));
    await rename(join(folder, 'img/1b.png'), join(folder, 'img/elsewhere.png'));
    await symlink('elsewhere.png', join(folder, 'img/1b.png')); // stays inside
    const { stdout } = await run(['data', 'check', 'm.csv'], { cwd: folder });
    expect(stdout).toMatch(/\| m\.csv +\| +8 \| +8 \|/);
    expect(stdout).toMatch(/\| image behind a link +\| outside of the folder of its manifest/);
    expect(stdout).toContain(` | ${join(store, '1a.png')} `);
    expect(stdout).not.toContain('1b.png');
  });

  test('check: counts of a sound manifest, and everything that is wrong with another', async () => {
    const sound = await run(['data', 'check', 'm.csv', '--tokenizer', SHAPES], { cwd: folder });
    expect(sound.stdout).toMatch(/\| m\.csv +\| +8 \| +8 \| +16 \| +4 \| +0 \| far 4, near 4 +\|/);
    expect(sound.stderr).toMatch(/^m\.csv: 8 of 8 pairs have no text corruption/);
    const text = await readFile(join(folder, 'm.csv'), 'utf8');
    const lines = text.trim().split('\n');
    const bad = [
      lines[0],
      lines[1],
      lines[1], // twice
      lines[2]?.replace('img/1a.png', 'img/none.png'),
      lines[3]?.replace('is it yellow or green?', 'is it one or the other?'),
      lines[4]?.replace(
        'is it yellow or red?,is it yellow or red?',
        'is it yellow or red?,is it so very yellow or red?',
      ),
      lines[5]?.replace('img/4a.png', '../img/4a.png'),
      lines[6]?.replace('img/5b.png', 'img/text.png'),
      `${lines[7]},one cell too many`,
    ];
    await writeText(join(folder, 'img/text.png'), 'text');
    await writeText(join(folder, 'bad.csv'), `${bad.join('\n')}\n`);
    const checked = await notice(['data', 'check', 'm.csv', 'bad.csv', '--tokenizer', SHAPES], {
      cwd: folder,
    });
    expect(checked.status).toBe(1);
    expect(checked.stdout).toMatch(/\| bad\.csv +\| +8 \| +1 \| /);
    expect(checked.stderr).toMatch(/^notice: 7 rows cannot be used:\n/m);
    for (const what of [
      /the same as bad\.csv row 1/,
      /no image file "img\/none\.png"/,
      /leaves the manifest's folder/,
      /text\.png.*cannot be decoded/,
      /cells where the header has 7/,
      /"is it yellow or red\?" has \d+ tokens and "is it so very yellow or red\?" \d+/,
      /do not stand left and right of an "or" in "is it one or the other\?"/,
    ])
      expect(checked.stderr).toMatch(what);
  });
});
