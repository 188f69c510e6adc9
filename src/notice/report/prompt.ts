// What the roles of tokens are, on a prompt of each task.

import type { Analysis } from '../experiment/analyse.ts';
import type { PromptToken, PromptTokens } from '../experiment/prompts.ts';
import { readableToken } from '../token-text.ts';
import { html, type Markup } from './html.ts';

/** In the order of a prompt (`TokenRole`). */
const ROLES: readonly (readonly [role: string, meaning: string])[] = [
  ['start', 'what the template puts in front of the text'],
  ['image', 'stands for the image, or for a part of it'],
  ['noun', 'the thing that is asked about'],
  ['rest', 'every other word'],
  ['correct', 'the option that the clean image shows'],
  ['or', 'what stands between the options'],
  ['incorrect', 'the option that the counterpart image shows'],
  ['end', 'what the template puts behind the text'],
];

/** Nothing if no module was patched. */
export function promptSection({ prompts }: Analysis): Markup {
  if (prompts.size === 0) return html``;
  const parts = [...prompts].map(([task, tokens]) => ({ task, tokens: withImage(tokens) }));
  const used = new Set(parts.flatMap(({ tokens }) => tokens.map(({ role }) => role)));
  return html`<p>Rows of the maps are roles, the parts that tokens play in their prompts:</p>
${parts.map(({ task, tokens }) => html`<p class="prompt"><span>${task}:</span> ${tokens.map(tokenHtml)}</p>`)}
<dl>${ROLES.filter(([role]) => used.has(role)).map(([role, meaning]) => html`<dt><span class="role-${role}">${role}</span></dt><dd>${meaning}</dd>`)}</dl>`;
}

function tokenHtml({ role, text }: PromptToken): Markup {
  return html`<span class="token role-${role}">${readableToken(text)}<small>${role}</small></span> `;
}

/** Image tokens are not patched one by one and so not among the cells: they stand where positions are missing. */
function withImage(tokens: PromptTokens): PromptToken[] {
  return tokens.flatMap((token, i) => {
    const before = tokens[i - 1]?.position ?? -1;
    const missing = token.position - before - 1;
    return missing > 0 && i > 0
      ? [{ position: before + 1, role: 'image', text: `${missing} tokens` }, token]
      : [token];
  });
}
