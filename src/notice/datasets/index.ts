// Data sets but for SVO-Probes, which loads an English dictionary (a quarter of a second): see svo-probes.ts.

export {
  type AttributedImage,
  type AttributedImages,
  type AttributeOptions,
  buildAttributePairs,
  readLabelledFolder,
  readLabelledTable,
} from './attributes.ts';
export type { BuildOptions, BuildResult } from './counterpart.ts';
export {
  type DownloadRecord,
  type DownloadSummary,
  downloadImages,
  type FailedDownload,
  type ImageDownload,
  type ImageDownloadOptions,
} from './download.ts';
export { EMOTIONS, type Emotion } from './emotions.ts';
export { DataError } from './errors.ts';
export { buildFer, extractFer, type FerOptions } from './fer.ts';
export { withGeneratedImages } from './generated.ts';
export {
  formatManifest,
  formatMetadata,
  MANIFEST_COLUMNS,
  parseManifest,
  parseMetadata,
} from './manifest.ts';
export { type ReadManifestOptions, readManifest, writeManifest } from './manifest-file.ts';
export { buildMitStates, type MitStatesOptions, readStateVectors } from './mit-states.ts';
export { correctFirst, noOptions, type Problem } from './options.ts';
export {
  type ImageMetadata,
  imageBoxes,
  type Pair,
  type PairDraft,
  type PairMetadata,
} from './pair.ts';
export { type BuildReport, countDrops, type Drop, writeDrops } from './report.ts';
export {
  BalancedDraw,
  type Draw,
  drawOrder,
  FirstDraw,
  type SelectOptions,
  selectBalanced,
} from './select.ts';
export { STATES, type StateTable } from './states.ts';
export {
  categoryPool,
  corruptPrompts,
  type Encode,
  NO_TEXT_CORRUPTION,
  type ReplacementOptions,
  replaceOptions,
  textProblem,
} from './str.ts';
export { cosineSimilarity, readWordVectors, type WordVectors } from './word2vec.ts';
