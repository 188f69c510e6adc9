import { expect, test } from 'vitest';
import {
  differentSettings,
  type ExperimentSettings,
  modelTitle,
} from '../../src/notice/experiment/settings.ts';

test('titles name a model without owner, folders and the rest of its commit', () => {
  const commit = '0123456789abcdef0123456789abcdef01234567';
  expect(modelTitle(`Salesforce/blip-vqa-base@${commit}`)).toBe('blip-vqa-base@0123456');
  expect(modelTitle('Salesforce/blip-vqa-base')).toBe('blip-vqa-base');
  expect(modelTitle('/models/blip-shapes')).toBe('blip-shapes');
  expect(modelTitle('C:\\models\\blip-shapes')).toBe('blip-shapes');
});

test('what only tables and figures show of the same measurements may change in a folder', () => {
  const settings: ExperimentSettings = {
    model: 'm',
    data: ['a.csv'],
    samples: 2,
    select: 'balanced',
    corruptions: ['sip'],
    moduleSites: [],
    headSite: 'language.attn.hook_z',
    statistic: 'absolute',
    measure: 'probability',
    compat: [],
    seed: 0,
    noiseDraws: 1,
    noiseScale: 3,
    template: undefined,
    evaluate: 'needed',
  };
  const shown = { ...settings, measure: 'logit-difference', statistic: 'signed', evaluate: 'all' } as const;
  expect(differentSettings(settings, shown)).toEqual([]);
  expect(differentSettings(settings, { ...settings, seed: 1 })).toEqual(['seed: 0, now 1']);
});
