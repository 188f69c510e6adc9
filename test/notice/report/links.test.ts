// What the report leads to: the command that repeats it, and its pairs in the explorer.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import type { Analysis } from '../../../src/notice/experiment/analyse.ts';
import { drawFigures } from '../../../src/notice/experiment/figures.ts';
import type { ExperimentSettings } from '../../../src/notice/experiment/settings.ts';
import { repeatArguments, repeatCommand } from '../../../src/notice/report/command.ts';
import { withLinks } from '../../../src/notice/report/explorer.ts';
import { reportHtml } from '../../../src/notice/report/report.ts';
import { readLink } from '../../../src/web/state/link.ts';
import { madeUp, settings } from './support.ts';

test('its command survives a shell', async () => {
  const { record } = await madeUp();
  const odd = { ...settings, model: "it's a model", template: 'Q: {question} $HOME "A"' };
  expect(repeatCommand({ ...record, settings: odd })).toContain("--model 'it'\\''s a model' --data");
  const printed = repeatCommand({ ...record, settings: odd }).replace(/^notice run/, "printf '%s\\n'");
  const { stdout } = await promisify(execFile)('sh', ['-c', printed]);
  expect(stdout.trimEnd().split('\n')).toEqual(repeatArguments({ ...record, settings: odd }));
});

test('maps lead to their pairs in the explorer: embedded ones by name, for others the page asks', async () => {
  const pair = (id: string, folder: string) => ({
    ...{
      id,
      category: 'x',
      cleanImage: `${folder}/${id}_clean.png`,
      corruptImage: `${folder}/${id}_corrupt.png`,
    },
    ...{ cleanPrompt: 'is it a & b?', corruptPrompt: 'is it c or d?', correct: 'a', incorrect: 'b' },
  });
  const found = await madeUp();
  const explorer = {
    url: 'https://example.org/notice/#old',
    embedded: { models: '/p/weights', data: '/p/data' },
  };
  const of = async (change: Partial<ExperimentSettings>, folder: string) => {
    const analysis: Analysis = {
      ...found,
      record: { ...found.record, settings: { ...settings, ...change } },
      pairs: new Map([['scenes', ['000', '001', '002', '003'].map((id) => pair(id, folder))]]),
    };
    const figures = withLinks(explorer, analysis, await drawFigures(analysis));
    return (name: string) =>
      figures.find((figure) => figure.name === name)?.links?.map(({ href }) => href) ?? [];
  };
  const embedded = await of(
    { model: '/p/weights/blip-shapes', data: ['/p/data/scenes.csv'] },
    '/p/data/scenes',
  );
  expect(embedded('modules-str')).toEqual(
    ['000', '001', '002'].map(
      (id) =>
        `https://example.org/notice/#model=blip-shapes&pair=scenes/${id}&corruption=text&metric=p_effect&tab=maps`,
    ),
  );
  expect(embedded('heads')[0]).toMatch(/pair=scenes\/000&corruption=image&metric=ld_effect&/);
  expect(embedded('accuracy')).toEqual([]);

  const commit = '0123456789abcdef0123456789abcdef01234567';
  const own = await of({ model: `owner/name@${commit}`, data: ['/home/me/scenes.csv'] }, '/home/me/pictures');
  // As the page reads them.
  const read = (href = '') => readLink(new URL(href).hash);
  expect(read(embedded('modules-sip')[0])).toEqual({
    model: { kind: 'embedded', name: 'blip-shapes' },
    ...{ pair: 'scenes/000', corruption: 'image', metric: 'p_effect', tab: 'maps', missing: [] },
  });
  expect(read(own('modules-sip')[0])).toMatchObject({
    model: { kind: 'hub', id: `owner/name@${commit}` },
    pair: {
      id: '000',
      clean: { kind: 'file', name: '000_clean.png' },
      image: { kind: 'picture', picture: { kind: 'file', name: '000_corrupt.png' } },
      ...{ question: 'is it a & b?', correct: 'a', incorrect: 'b', corruptQuestion: 'is it c or d?' },
    },
    missing: [expect.stringContaining('000_clean.png'), expect.stringContaining('000_corrupt.png')],
  });
  const folderModel = await of({ model: '/home/me/blip', dtype: 'f16' }, '/home/me');
  const { model, dtype, missing } = read(folderModel('modules-sip')[0]);
  expect([model, dtype, missing[0]]).toEqual([undefined, 'f16', expect.stringContaining('blip')]);

  const page = reportHtml({ ...found, pairs: new Map([['scenes', [pair('000', '/p/data/scenes')]]]) }, []);
  expect(page).not.toContain('In the explorer');
});
