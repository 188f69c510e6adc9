// The paper's sweeps of a pair that need not exist: what an experiment takes is known from a model's sizes alone.

import type { Corruption } from '../analysis/cell.ts';
import type { Sample, VisionLanguageModel } from '../models/index.ts';
import { type SweepJob, type SweepSite, sweepOperations } from '../patching/index.ts';
import { paperConventions } from './conventions.ts';

/** Tokens of a question where nobody says it. */
export const DEFAULT_PROMPT_TOKENS = 16;
/** All sweeps of a pair. */
const TOGETHER = 'all together';

/** Operations of one pair in an experiment: the sweeps of each corruption, of noise as many as draws. */
export async function pairOperations(
  model: VisionLanguageModel,
  corruptions: readonly Corruption[],
  noiseDraws: number,
  promptTokens = DEFAULT_PROMPT_TOKENS,
): Promise<number> {
  const [image, text] = paperSweeps(model, promptTokens).flatMap(({ part, jobs }) =>
    part === TOGETHER ? jobs : [],
  ) as [SweepJob, SweepJob];
  const jobs = corruptions.flatMap((corruption) =>
    corruption === 'noise'
      ? new Array<SweepJob>(noiseDraws).fill(image)
      : [corruption === 'str' ? text : image],
  );
  return sweepOperations(model, jobs);
}

/**
 * The paper's sweeps of one pair: modules at every token of the question, and every head where the answer is decided. Then
 * all of them together, as an experiment runs them: they share the clean run.
 */
export function paperSweeps(model: VisionLanguageModel, promptTokens: number) {
  const { clean, image, text, question } = samplePair(model, promptTokens);
  const { moduleSites, headSite, headPositions } = paperConventions(model);
  const option = question[question.length >> 1] as number;
  const headPosition = headPositions.includes('last') ? clean.ids.length - 1 : option;
  const modules: SweepSite[] = moduleSites.map((site) => ({ site, positions: question }));
  const heads: SweepSite[] = [{ site: headSite, heads: true, positions: [headPosition] }];
  const job = (corrupt: Sample, sites: SweepSite[]): SweepJob => ({
    clean,
    corrupt,
    correct: 0,
    incorrect: 1,
    sites,
  });
  const all = [...modules, ...heads];
  return [
    { corruption: 'image', part: 'modules × tokens', jobs: [job(image, modules)] },
    { corruption: 'image', part: 'heads', jobs: [job(image, heads)] },
    { corruption: 'text', part: 'modules × tokens', jobs: [job(text, modules)] },
    { corruption: 'text', part: 'heads', jobs: [job(text, heads)] },
    { corruption: 'both', part: TOGETHER, jobs: [job(image, all), job(text, all)] },
  ];
}

/** A pair of the model's sizes; its values are of no account, since nothing is computed. */
function samplePair(model: VisionLanguageModel, promptTokens: number) {
  const images = [model.blankImage()];
  const words = Array.from({ length: promptTokens }, (_, i) => 2 + (i % 2));
  const { imageToken } = model;
  const features = model.featureCount(model.blankImage());
  const image = imageToken === undefined ? [] : [2, ...new Array<number>(features).fill(imageToken)];
  const expanded = model.expand([...image, ...words], images);
  const first = expanded.ids.length - promptTokens;
  const clean = { images, ids: expanded.ids, instruction: words };
  // The options stand in the middle of a question.
  const at = first + (promptTokens >> 1);
  return {
    clean,
    image: { ...clean, images: [model.blankImage()] },
    text: {
      ...clean,
      ids: clean.ids.map((id, i) => (i === at ? 4 : id)),
      instruction: words.map((id, i) => (i === at - first ? 4 : id)),
    },
    question: Array.from({ length: promptTokens }, (_, i) => first + i),
  };
}
