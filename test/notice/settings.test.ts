import { expect, test } from 'vitest';
import { modelTitle } from '../../src/notice/experiment/settings.ts';

test('titles name a model without owner, folders and the rest of its commit', () => {
  const commit = '0123456789abcdef0123456789abcdef01234567';
  expect(modelTitle(`Salesforce/blip-vqa-base@${commit}`)).toBe('blip-vqa-base@0123456');
  expect(modelTitle('Salesforce/blip-vqa-base')).toBe('blip-vqa-base');
  expect(modelTitle('/models/blip-shapes')).toBe('blip-shapes');
  expect(modelTitle('C:\\models\\blip-shapes')).toBe('blip-shapes');
});
