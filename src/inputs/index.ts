export {
  type AnswerOptions,
  type AnswerToken,
  answerTokenIds,
  answerTokens,
  inCaseOf,
  NOTICE_CODE_ANSWER_TOKEN,
} from './answer.ts';
export { browserDecoder } from './browser-decoder.ts';
export { checkImageSize, type ImageDecoder, MAX_IMAGE_PIXELS, type RgbImage } from './image.ts';
export { ImageProcessor, type PixelValues, type ProcessedImage } from './image-processor.ts';
export type { Preprocessing } from './preprocessor-config.ts';
export {
  type ExpandedPrompt,
  expandImageTokens,
  formatPrompt,
  PROMPT_TEMPLATES,
  type PromptTemplate,
} from './prompt.ts';
export {
  findOptions,
  findPhrase,
  findWord,
  type LocatedText,
  type Occurrence,
  type OptionPart,
  type Options,
  optionTokens,
  promptRoles,
  type TokenRole,
  type TokenSpan,
} from './prompt-tokens.ts';
export { type ResampleFilter, resize } from './resample.ts';
export { type Candidate, candidates, type SamplingOptions, sampler, tokenAt } from './sampling.ts';
export { type EncodedText, Tokenizer, type TokenizerFiles } from './tokenizer.ts';
export type { CharRange } from './units.ts';
