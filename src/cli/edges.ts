// Edges of attention as words on the command line: image:last, "text_decoder.cross_attn:options:all", heart:3,4.

import { NoticeError } from '../errors.ts';
import { findOptions, findPhrase, optionTokens } from '../inputs/index.ts';
import type { VisionLanguageModel } from '../models/index.ts';
import type { EdgeGroup } from '../patching/index.ts';
import { list } from './options.ts';
import type { CleanOptions, ReadClean } from './sweep-pair.ts';

/** What positions can be called. */
export const PLACES = [
  'image',
  'question',
  'options',
  'correct',
  'incorrect',
  'text',
  'last',
  'all',
] as const;

/** A prompt and the words that positions are named by. */
export interface NamedPrompt extends Pick<ReadClean, 'sample' | 'prompt'> {
  readonly words: Pick<CleanOptions, 'prompt' | 'correct' | 'incorrect'>;
}

/**
 * The edges that information takes from the image to the answer: where the prompt goes on with the answer, to its last position
 * (Zhang et al. 2024); where a decoder answers, to the question's options and from them.
 */
export function usualEdges(model: VisionLanguageModel, { prompt, words }: NamedPrompt): string[] {
  const { correct = '', incorrect = '' } = words;
  const offered = prompt && findOptions(prompt.encoded.text, { correct, incorrect }) !== undefined;
  const question = prompt ? 'question' : 'text';
  if (model.answers === 'continuation')
    return [`image:${question}`, 'image:last', `${question}:last`, ...(offered ? ['options:last'] : [])];
  const answering = `${model.towers.at(-1)}.cross_attn`;
  return [
    `image:${question}`,
    ...(offered ? ['image:options', `${question}:options`] : []),
    `${answering}:${question}:all`,
    ...(offered ? [`${answering}:options:all`] : []),
  ];
}

/**
 * @param text `from:to`, before it `attention:`
 * @throws NoticeError('usage') for what is no edge, ('text') for a word that is not in the question
 */
export function readEdges(
  model: VisionLanguageModel,
  text: string,
  named: NamedPrompt,
): EdgeGroup & { readonly name: string } {
  const parts = text.split(':').map((part) => part.trim());
  const [to = '', from = '', given, ...more] = parts.reverse();
  if (more.length > 0 || from === '' || to === '')
    throw new NoticeError('usage', `--edges ${text}: expected from:to, or attention:from:to`);
  const attention = given ?? attentionFor(model, from, to);
  const ofPrompt = attention.startsWith(`${model.promptTower}.`);
  const answering = model.answers === 'decoder' && `${model.towers.at(-1)}.cross_attn`;
  const keysOfPrompt = attention === `${model.promptTower}.attn` || attention === answering;
  const keys = positionsOf(model, from, named, keysOfPrompt);
  const queries = to === 'all' ? undefined : positionsOf(model, to, named, ofPrompt);
  const elsewhere = [keys, queries].indexOf('elsewhere');
  if (elsewhere >= 0 || queries === 'image')
    throw new NoticeError(
      'usage',
      `--edges ${text}: ${attention} has no positions "${elsewhere === 0 ? from : to}", give their numbers`,
    );
  return {
    name: `${given ? `${given}: ` : ''}${from} → ${to}`,
    attention,
    from: keys as readonly number[] | 'image',
    ...(queries && { to: queries as readonly number[] }),
  };
}

/** The attention that reads the image, or that of the prompt where the image's features stand in it. */
function attentionFor(model: VisionLanguageModel, from: string, to: string): string {
  const inPrompt = model.imageToken !== undefined && to !== 'all';
  return from === 'image' && !inPrompt ? model.imageAttention : `${model.promptTower}.attn`;
}

/** @param ofPrompt whether positions there are the prompt's */
function positionsOf(
  model: VisionLanguageModel,
  place: string,
  { sample, prompt, words }: NamedPrompt,
  ofPrompt: boolean,
): readonly number[] | 'image' | 'elsewhere' {
  if (/^[\d,\s]+$/.test(place)) return list(place).map(Number);
  const { ids } = sample;
  const all = ids.map((_, position) => position);
  if (!ofPrompt) return place === 'image' || place === 'all' ? 'image' : 'elsewhere';
  const last = ids.length - 1;
  const isImage = (position: number) => ids[position] === model.imageToken;
  switch (place) {
    case 'image':
      return all.filter(isImage);
    case 'all':
      return all;
    case 'last':
      return [last];
    case 'text':
      return all.filter((position) => !isImage(position) && position !== last);
  }
  if (!prompt)
    throw new NoticeError(
      'usage',
      `"${place}" is of a question, which --inputs does not hold; image, text, last, all and numbers are known`,
    );
  const { encoded, positions } = prompt;
  const tokens = ({ start, end }: { readonly start: number; readonly end: number }) =>
    positions.slice(start, end);
  const { correct = '', incorrect = '' } = words;
  if (place === 'options' || place === 'correct' || place === 'incorrect') {
    const options = optionTokens(encoded, { correct, incorrect });
    return place === 'options'
      ? [...tokens(options.correct), ...tokens(options.incorrect)].sort((a, b) => a - b)
      : tokens(options[place]);
  }
  return tokens(findPhrase(encoded, place === 'question' ? (words.prompt ?? '') : place, 'only'));
}
