import { describe, expect, it } from 'vitest';
import { answerTokenIds, answerTokens, inCaseOf } from '../../src/inputs/index.ts';
import { fixturePath, loadTokenizer, noticeError, readJsonFile } from './support.ts';

interface Cases {
  readonly cases: readonly {
    readonly id: string;
    readonly correct_answer: string;
    readonly incorrect_answer: string;
    readonly correct_token: number;
    readonly incorrect_token: number;
  }[];
}

const blip = loadTokenizer(fixturePath('blip-tiny'));
const llava = loadTokenizer(fixturePath('llava-tiny'));

describe.each([
  ['blip-tiny', 'blip'],
  ['llava-tiny', 'llava'],
  ['llava-tiny-gqa', 'llava'],
] as const)("answer tokens of NOTICE's code: %s", (model, family) => {
  const tokenizer = loadTokenizer(fixturePath(model));
  it.each(readJsonFile<Cases>(fixturePath(`${model}/cases.json`)).cases)('$id', (golden) => {
    const answers = { correct: golden.correct_answer, incorrect: golden.incorrect_answer };
    const ids = answerTokenIds(tokenizer, answers, { token: family === 'blip' ? 'first' : 'last' });
    expect(ids).toEqual([golden.correct_token, golden.incorrect_token]);
  });
});

interface FamilyCases extends Cases {
  readonly answer_after: string;
  readonly answer_space: boolean;
}

describe.each([
  ...['smolvlm-tiny', 'idefics3-tiny', 'qwen2_vl-tiny', 'qwen2_5_vl-tiny', 'qwen3_vl-tiny', 'gemma3-tiny'],
  ...['paligemma-tiny', 'paligemma2-tiny', 'llava_next-tiny', 'llava_onevision-tiny', 'instructblip-tiny'],
])('first tokens of answers: %s', (model) => {
  const tokenizer = loadTokenizer(fixturePath(model));
  const { cases, answer_after: after } = readJsonFile<FamilyCases>(fixturePath(`${model}/cases.json`));
  it.each(cases)('$id', ({ correct_answer, incorrect_answer, correct_token, incorrect_token }) => {
    const answers = { correct: correct_answer, incorrect: incorrect_answer };
    expect(answerTokenIds(tokenizer, answers, { after })).toEqual([correct_token, incorrect_token]);
  });
});

describe('the first token the model would generate', () => {
  const names = (tokenizer: typeof llava, ids: readonly number[]) => ids.map((id) => tokenizer.idToToken(id));

  it("is BLIP's first WordPiece, lower case", () => {
    expect(names(blip, answerTokens(blip, 'Surprised'))).toEqual(['sur', '##pr', '##ised']);
    expect(names(blip, answerTokenIds(blip, { correct: 'Surprised', incorrect: 'happy' }))).toEqual([
      'sur',
      'happy',
    ]);
  });

  it('is what follows the prompt in LLaVA, case kept, the same whatever comes before', () => {
    expect(names(llava, answerTokens(llava, 'Happy', 'ASSISTANT:'))).toEqual(['▁H', 'appy']);
    expect(answerTokens(llava, ' Happy ', 'ASSISTANT:')).toEqual(answerTokens(llava, 'Happy'));
    const ids = answerTokenIds(llava, { correct: 'angry', incorrect: 'surprised' }, { after: 'ASSISTANT:' });
    expect(names(llava, ids)).toEqual(['▁an', '▁s']);
  });

  it('must exist, be in the vocabulary, and differ', () => {
    expect(() => answerTokens(blip, '  ')).toThrow(noticeError('text', /" {2}" has no tokens of its own/));
    expect(() => answerTokenIds(blip, { correct: 'Ω', incorrect: 'happy' })).toThrow(
      noticeError('text', /"Ω" is outside the model's vocabulary/),
    );
    expect(() => answerTokenIds(llava, { correct: 'neutral', incorrect: 'disgusted' })).toThrow(
      noticeError('text', /"neutral" and "disgusted" have the same first token "▁"/),
    );
  });
});

it('inCaseOf writes an answer as the model wrote another', () => {
  expect(inCaseOf('sad', 'Happy')).toBe('Sad');
  expect(inCaseOf('sad', ' Happy')).toBe('Sad');
  expect(inCaseOf('sad', 'happy')).toBe('sad');
  expect(inCaseOf('sad', '')).toBe('sad');
});
