// What the page opens with.

import type { PairSpec } from './protocol/session.ts';

export const FIRST_MODEL = 'blip-shapes';

export const FIRST_PAIR: PairSpec = {
  id: 'scenes/002',
  clean: { kind: 'embedded', path: 'scenes/002_clean.png' },
  image: { kind: 'picture', picture: { kind: 'embedded', path: 'scenes/002_corrupt.png' } },
  question: 'is the triangle inside the heart or ring?',
  correct: 'heart',
  incorrect: 'ring',
  corruptQuestion: 'is the triangle inside the cross or star?',
};
