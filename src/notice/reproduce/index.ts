export { type ComparedHead, compareHeads } from './compare.ts';
export {
  PAPER,
  PUBLISHED,
  type PublishedHead,
  type PublishedResults,
  publishedResults,
  SECOND_HAND,
} from './published.ts';
export {
  type Missing,
  missingPrerequisites,
  PAPER_SAMPLES,
  PAPER_TASKS,
  type PaperTask,
  runArguments,
} from './recipe.ts';
