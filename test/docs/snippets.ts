// The fenced blocks of a Markdown file.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../cli/support.ts';

export interface Snippet {
  /** "docs/library.md" */
  readonly page: string;
  /** "docs/library.md:40" */
  readonly where: string;
  readonly language: string;
  readonly code: string;
  /** The headings above it, outermost first. */
  readonly headings: readonly string[];
  /** The file that it is, where it is no part of the page's program: what follows "file:" behind the fence. */
  readonly file: string | undefined;
  /** Why it is not run: what follows "not run:" behind the fence. */
  readonly notRun: string | undefined;
}

export function snippetsOf(file: string): Snippet[] {
  const lines = readFileSync(join(ROOT, file), 'utf8').split('\n');
  const snippets: Snippet[] = [];
  const headings: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    const [, marks, title] = /^(#+) (.*)$/.exec(lines[i] as string) ?? [];
    if (marks && title) headings.splice(marks.length - 1, headings.length, title);
    const [, language, name, notRun] =
      /^```(\w+)(?: file: (\S+))?(?: not run: (.*))?$/.exec(lines[i] as string) ?? [];
    if (language === undefined) continue;
    const end = lines.indexOf('```', i);
    snippets.push({
      page: file,
      where: `${file}:${i + 2}`,
      language,
      code: lines.slice(i + 1, end).join('\n'),
      headings: [...headings],
      file: name,
      notRun,
    });
    i = end;
  }
  return snippets;
}
