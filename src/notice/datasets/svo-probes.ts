// SVO-Probes: everything that needs English grammar, apart from index.ts so that other commands need not load it.

export { parseTriplets, readSvo, type SvoImage, type SvoRow, svoDownloads } from './svo.ts';
export { type EndpointOptions, endpointGrammar } from './svo-endpoint.ts';
export {
  type Role,
  ruleGrammar,
  ruleQuestion,
  type SvoGrammar,
  type SvoPrompt,
  type SvoQuestion,
  type Triplet,
} from './svo-grammar.ts';
export { buildSvo, type SvoOptions } from './svo-pairs.ts';
