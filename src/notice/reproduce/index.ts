export { type ComparedHead, compareHeads, type PaperTable, paperTables } from './compare.ts';
export {
  PAPER,
  type PaperTaskName,
  PUBLISHED,
  type PublishedFunction,
  type PublishedHead,
  type PublishedResults,
  publishedResults,
} from './published.ts';
export {
  type Missing,
  missingPrerequisites,
  PAPER_SAMPLES,
  PAPER_TASKS,
  type PaperTask,
  runArguments,
} from './recipe.ts';
