// Pairs from SVO-Probes rows (paper): the image that lacks the named subject, verb or object corrupts the one that
// shows it, and the other way round.

import { mapConcurrent } from './concurrent.ts';
import type { BuildOptions, BuildResult } from './counterpart.ts';
import { gerund, isPlural } from './english.ts';
import { imagesByStem, listImages } from './images.ts';
import type { PairDraft } from './pair.ts';
import type { Drop } from './report.ts';
import { corruptPrompts, type ReplacementOptions } from './str.ts';
import { readSvo, type SvoImage, type SvoRow } from './svo.ts';
import {
  ROLES,
  type Role,
  rawQuestion,
  ruleGrammar,
  type SvoGrammar,
  type SvoPrompt,
  type SvoQuestion,
} from './svo-grammar.ts';

/** Of a grammar that is a server. */
const QUESTIONS_AT_ONCE = 8;

export interface SvoOptions extends BuildOptions {
  /** Turns triplets into questions. Default `ruleGrammar`. */
  readonly grammar?: SvoGrammar;
}

/**
 * Two pairs for each row: both directions share a question that names the positive image's word first. As in NOTICE, each
 * question is used once, with the first row whose images are there. Categories: subject, verb, object.
 * Drops: those of `readSvo`, `listImages`, `imagesByStem` and `corruptPrompts`; "image-missing"; "duplicate-question";
 * "grammar" (no question, or one that lacks an option).
 * @param csv svo_probes.csv
 * @param folder the images, named by id, as `downloadImages` stores them
 */
export async function buildSvo(csv: string, folder: string, options: SvoOptions): Promise<BuildResult> {
  const { rows, read, drops } = await readSvo(csv);
  const listed = await listImages(folder);
  const { byStem, drops: ambiguous } = imagesByStem(listed.images);
  const files = new Map([...byStem].map(([name, { file }]) => [name, file]));
  const all: Drop[] = [...drops, ...listed.drops, ...ambiguous];

  const drafts: PairDraft[] = [];
  const grammar = options.grammar ?? ruleGrammar;
  const usable = uniqueQuestions(rows, files, all);
  const prompts = await mapConcurrent(usable, QUESTIONS_AT_ONCE, ({ question }) => grammar(question));
  for (const [index, { row, question }] of usable.entries()) {
    const prompt = prompts[index] as Awaited<ReturnType<SvoGrammar>>;
    const problem = 'problem' in prompt ? prompt.problem : sameOption(prompt);
    if (problem !== undefined) {
      all.push({ source: row.source, reason: 'grammar', detail: `${rawQuestion(question)} ${problem}` });
    } else {
      drafts.push(...bothDirections(row, prompt as SvoPrompt, files));
    }
  }
  const { pairs, report } = corruptPrompts(drafts, { ...options, pool: wordPool(rows) });
  return { pairs, report: { read, kept: pairs.length, drops: [...all, ...report.drops] } };
}

interface UsableRow {
  readonly row: SvoRow;
  readonly question: SvoQuestion;
}

function uniqueQuestions(
  rows: readonly SvoRow[],
  files: ReadonlyMap<string, string>,
  drops: Drop[],
): UsableRow[] {
  const asked = new Map<string, string>();
  const usable: UsableRow[] = [];
  for (const row of rows) {
    const { source, role, positive, negative } = row;
    const absent = [positive, negative].find(({ name }) => !files.has(name));
    if (absent) {
      const detail = `no image named ${absent.name}${absent.url && ` (${absent.url})`}`;
      drops.push({ source, reason: 'image-missing', detail });
      continue;
    }
    const alternative = negative.triplet[ROLES.indexOf(role)] as string;
    const question = { triplet: positive.triplet, role, alternative };
    const raw = rawQuestion(question);
    const first = asked.get(raw);
    if (first !== undefined) {
      drops.push({ source, reason: 'duplicate-question', detail: `"${raw}" is asked by ${first}` });
      continue;
    }
    asked.set(raw, source);
    usable.push({ row, question });
  }
  return usable;
}

function bothDirections(
  { index, role, positive, negative }: SvoRow,
  { prompt, own, other }: SvoPrompt,
  files: ReadonlyMap<string, string>,
): PairDraft[] {
  const draft = (side: string, clean: SvoImage, corrupt: SvoImage, correct: string, incorrect: string) => ({
    id: `svo-${String(index).padStart(5, '0')}-${side}`,
    cleanImage: files.get(clean.name) as string,
    corruptImage: files.get(corrupt.name) as string,
    cleanPrompt: prompt,
    correct,
    incorrect,
    category: role,
    metadata: { task: 'svo-probes', clean: { triple: clean.triplet }, corrupt: { triple: corrupt.triplet } },
  });
  return [draft('pos', positive, negative, own, other), draft('neg', negative, positive, other, own)];
}

/** All words of the data set in an option's role and form: -ing or not, singular or plural. */
function wordPool(rows: readonly SvoRow[]): ReplacementOptions['pool'] {
  const triplets = rows.flatMap(({ positive, negative }) => [positive.triplet, negative.triplet]);
  const words = (role: Role) =>
    [...new Set(triplets.map((triplet) => triplet[ROLES.indexOf(role)] as string))].sort();
  const verbs = words('verb');
  const gerunds = [...new Set(verbs.map(gerund))].sort();
  const isGerund = new Set(gerunds);
  const nouns = (role: Role) => ({
    singular: words(role).filter((word) => !isPlural(word)),
    plural: words(role).filter(isPlural),
  });
  const pools = { subject: nouns('subject'), object: nouns('object') };
  return (option, { category }) => {
    if (category === 'verb') return isGerund.has(option) ? gerunds : verbs;
    return pools[category as 'subject' | 'object'][isPlural(option) ? 'plural' : 'singular'];
  };
}

function sameOption({ own, other }: SvoPrompt): string | undefined {
  return own.toLowerCase() === other.toLowerCase() ? `both options are "${own}"` : undefined;
}
