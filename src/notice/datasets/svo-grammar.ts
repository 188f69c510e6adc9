// From triplets to questions. The paper asked GPT-3.5 to mend "is girl sit or stand grass?"; the default here is rules
// that need no network and give the same text every time: "Is the girl sitting or standing on the grass?"

import { gerund, isPlural, objectPrefix, subjectPhrase } from './english.ts';

export type Triplet = readonly [subject: string, verb: string, object: string];
export const ROLES = ['subject', 'verb', 'object'] as const;
export type Role = (typeof ROLES)[number];

/** Which of two words stands in this role of the triplet: the triplet's own, named first, or the alternative? */
export interface SvoQuestion {
  readonly triplet: Triplet;
  readonly role: Role;
  readonly alternative: string;
}

/** A question and its options as they stand in it. */
export interface SvoPrompt {
  readonly prompt: string;
  /** The triplet's own word. */
  readonly own: string;
  readonly other: string;
}

/** Makes an English question, or says in `problem` why it cannot of this one. What stops all of them is thrown. */
export type SvoGrammar = (question: SvoQuestion) => Promise<SvoPrompt | { readonly problem: string }>;

/** The question as NOTICE gives it to the grammar model: "is girl or boy sit grass?" */
export function rawQuestion({ triplet, role, alternative }: SvoQuestion): string {
  const words = triplet.map((word, i) => (ROLES[i] === role ? `${word} or ${alternative}` : word));
  return `is ${words.join(' ')}?`;
}

/** The question by rules. Verbs are in the -ing form: it is the option's form in prompt and answer alike. */
export function ruleQuestion({ triplet, role, alternative }: SvoQuestion): SvoPrompt {
  const [subject, verb, object] = triplet;
  const be = isPlural(subject) ? 'Are' : 'Is';
  const who = subjectPhrase(subject);
  const doing = gerund(verb);
  const prefix = objectPrefix(verb, object);
  switch (role) {
    case 'subject': {
      const whom = join(prefix, object);
      return { prompt: `${be} ${who} or ${alternative} ${doing} ${whom}?`, own: subject, other: alternative };
    }
    case 'verb': {
      const second = gerund(alternative);
      const otherPrefix = objectPrefix(alternative, object);
      const firstObject = prefix === otherPrefix ? '' : join(prefix, object);
      const prompt = `${be} ${who} ${join(doing, firstObject)} or ${join(second, otherPrefix, object)}?`;
      return { prompt, own: doing, other: second };
    }
    case 'object': {
      const otherPrefix = objectPrefix(verb, alternative);
      const other = otherPrefix === prefix ? alternative : join(otherPrefix, alternative);
      return {
        prompt: `${be} ${who} ${doing} ${join(prefix, object)} or ${other}?`,
        own: object,
        other: alternative,
      };
    }
  }
}

/** `ruleQuestion` as a grammar. */
export const ruleGrammar: SvoGrammar = (question) => Promise.resolve(ruleQuestion(question));

const join = (...parts: string[]): string => parts.filter(Boolean).join(' ');
