// The prompt as the model reads it: tokens with their positions and the parts they play, and where the corrupt text differs.

import type { JSX } from 'preact';
import type { PairInfo, PromptToken } from '../protocol/session.ts';
import { pair } from '../state/app.ts';

export function PromptTokens(): JSX.Element {
  const shown = pair.value;
  return (
    <section aria-label="Prompt">
      <ol class="prompt-tokens">
        {shown?.tokens.map((token, i) => (
          <TokenView key={token.position} token={token} pair={shown} index={i} />
        ))}
      </ol>
    </section>
  );
}

function TokenView({
  token: { position, text, role },
  pair: { tokens, corruptTokens, length },
  index,
}: {
  readonly token: PromptToken;
  readonly pair: PairInfo;
  readonly index: number;
}): JSX.Element {
  const end = tokens[index + 1]?.position ?? length;
  const other = corruptTokens?.[index];
  return (
    <li class={`token role-${role}`} title={`position ${position}, ${role}`}>
      <span class="token-text">{text}</span>
      {other !== undefined && other !== text && (
        <span class="token-other">
          <span class="hidden">in the corrupt text </span>
          {other}
        </span>
      )}
      <span class="token-place">
        {end - position > 1 ? `${position}–${end - 1}` : position}
        <span class="hidden"> {role}</span>
      </span>
    </li>
  );
}
