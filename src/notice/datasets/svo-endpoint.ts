// SVO questions mended by a language model behind any OpenAI-compatible endpoint, as the paper did with GPT-3.5, but at
// temperature 0 and with every answer kept on disk: a second build asks nothing and gives the same text.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NoticeError } from '../../errors.ts';
import { fetchText, type HttpOptions, NetworkError } from '../../hub/index.ts';
import { type CharRange, findOptions } from '../../inputs/index.ts';
import { nodeFetch } from '../../platform/node/fetch.ts';
import { writeWhole } from '../../platform/node/whole-file.ts';
import { wordForms } from './english.ts';
import { DataError } from './errors.ts';
import { ROLES, rawQuestion, type SvoGrammar, type SvoPrompt, type SvoQuestion } from './svo-grammar.ts';

export interface EndpointOptions extends HttpOptions {
  /** Up to and with the version: "https://api.openai.com/v1". */
  readonly baseUrl: string;
  readonly model: string;
  readonly apiKey?: string;
  /** Folder of the kept answers. */
  readonly cache: string;
}

/** The paper's instruction (NOTICE, preprocessing/make_chatgpt_prompts.py). */
const INSTRUCTION =
  'Make the sentence grammatically correct. I want the order of the tokens to be minimally disturbed.';

/**
 * A grammar that sends the raw question ("is girl or boy sit grass?") to `{baseUrl}/chat/completions`. A question mark is
 * added where it is missing; an answer in which the options do not stand left and right of "or", in some form, is a `problem`.
 * @throws (when called) NoticeError usage: the key is refused; NetworkError; DataError: an answer of another form
 */
export function endpointGrammar(options: EndpointOptions): SvoGrammar {
  return async (question) => {
    const body = JSON.stringify({
      model: options.model,
      messages: [
        { role: 'system', content: INSTRUCTION },
        { role: 'user', content: rawQuestion(question) },
      ],
      temperature: 0,
      top_p: 1,
      max_tokens: 42,
    });
    return findForms(question, await cachedAnswer(body, options));
  };
}

async function cachedAnswer(body: string, options: EndpointOptions): Promise<string> {
  const key = createHash('sha256').update(`${options.baseUrl}\n${body}`).digest('hex');
  const file = join(options.cache, `${key}.json`);
  const kept = keptAnswer(await readFile(file, 'utf8').catch(() => ''));
  if (kept !== undefined) return kept;
  const answer = await ask(body, options);
  await writeWhole(file, JSON.stringify({ request: JSON.parse(body), answer }));
  return answer;
}

/** None in a file that is damaged: the question is asked again. */
function keptAnswer(text: string): string | undefined {
  try {
    const { answer } = JSON.parse(text) as { answer?: unknown };
    return typeof answer === 'string' ? answer : undefined;
  } catch {
    return undefined;
  }
}

async function ask(body: string, options: EndpointOptions): Promise<string> {
  const url = `${options.baseUrl.replace(/\/+$/, '')}/chat/completions`;
  const headers = {
    'Content-Type': 'application/json',
    ...(options.apiKey && { Authorization: `Bearer ${options.apiKey}` }),
  };
  let text: string;
  try {
    text = await fetchText(url, { method: 'POST', headers, body }, { fetch: nodeFetch, ...options });
  } catch (error) {
    if (error instanceof NetworkError && (error.status === 401 || error.status === 403)) {
      throw new NoticeError('usage', `${url} refuses the API key (HTTP ${error.status}).`, { cause: error });
    }
    throw error;
  }
  const content = contentOf(text);
  if (typeof content !== 'string') {
    throw new DataError(`${url} answered without choices[0].message.content: ${text.slice(0, 200)}`);
  }
  return content;
}

function contentOf(text: string): unknown {
  try {
    return (JSON.parse(text) as { choices?: { message?: { content?: unknown } }[] }).choices?.[0]?.message
      ?.content;
  } catch {
    return undefined;
  }
}

function findForms(question: SvoQuestion, answer: string): SvoPrompt | { problem: string } {
  const { triplet, role, alternative } = question;
  const unquoted = answer.trim().replace(/^"(.*)"$/s, '$1');
  const prompt = unquoted.endsWith('?') ? unquoted : `${unquoted.replace(/[.!]$/, '')}?`;
  if (prompt.includes('\n')) return { problem: `became several lines: "${prompt}"` };
  const kind = role === 'verb' ? 'verb' : 'noun';
  for (const own of wordForms(triplet[ROLES.indexOf(role)] as string, kind)) {
    for (const other of wordForms(alternative, kind)) {
      const found = findOptions(prompt, { correct: own, incorrect: other });
      const text = ({ start, end }: CharRange) => prompt.slice(start, end);
      if (found) return { prompt, own: text(found.correct), other: text(found.incorrect) };
    }
  }
  return { problem: `became "${prompt}", which lacks an option` };
}
