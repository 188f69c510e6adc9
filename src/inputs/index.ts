export {
  type AnswerOptions,
  type AnswerToken,
  answerTokenIds,
  answerTokens,
  inCaseOf,
} from './answer.ts';
export {
  type ChatMessage,
  type ChatOptions,
  ChatTemplate,
  type ChatTemplateFiles,
  type ContentPart,
  readChatTemplates,
} from './chat-template.ts';
export { ClipTokenizer, type ClipTokenizerFiles } from './clip-tokenizer.ts';
export {
  type Box,
  checkImageSize,
  type ImageDecoder,
  MAX_IMAGE_PIXELS,
  paintOver,
  type RgbImage,
} from './image.ts';
export { decodePicture, type ImageFormat, imageFormat } from './image-file.ts';
export { ImageProcessor, type PixelValues, type ProcessedImage } from './image-processor.ts';
export { greyOf, type MaskImage, maskOf, pasteOver } from './mask.ts';
export type { Preprocessing, PreprocessingOptions } from './preprocessor-config.ts';
export {
  bestResolution,
  fitted,
  NEXT as NEXT_RESOLUTIONS,
  ONEVISION as ONEVISION_RESOLUTIONS,
} from './processors/anyres.ts';
export type {
  CutPicture,
  PatchPacking,
  PictureLayout,
  Resize,
  TileGrid,
} from './processors/layout.ts';
export {
  type ExpandedPrompt,
  expandImageTokens,
  type FilledPrompt,
  fillImageTexts,
  formatPrompt,
  type PromptTemplates,
  refuseVideo,
} from './prompt.ts';
export { PromptFormat, type PromptFormatOptions } from './prompt-format.ts';
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
export { IMAGE_BACKENDS, type ImageBackend, type ResampleFilter, resize } from './resample.ts';
export { type Candidate, candidates, type SamplingOptions, sampler, tokenAt } from './sampling.ts';
export { type EncodedText, Tokenizer, type TokenizerFiles } from './tokenizer.ts';
export type { CharRange } from './units.ts';
