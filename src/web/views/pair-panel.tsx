// The clean and the corrupt picture, the question as the model reads it, and what it answers to each.

import { useComputed, useSignalEffect } from '@preact/signals';
import type { JSX } from 'preact';
import { useRef } from 'preact/hooks';
import type { PairInfo } from '../protocol/session.ts';
import { pair } from '../state/app.ts';
import { AnswersTable } from './answers-table.tsx';
import { CorruptionChoice } from './corruption-choice.tsx';
import { EmbeddedPairs } from './embedded-pairs.tsx';
import { Panel } from './layout.tsx';
import { OwnPair } from './own-pair.tsx';
import { PromptTokens } from './prompt-tokens.tsx';
import './pair.css';

export function PairPanel(): JSX.Element {
  const shown = pair.value;
  return (
    <Panel title="Pair">
      <EmbeddedPairs />
      <div class="pictures">
        <PictureView which="clean" />
        <PictureView which="corrupt" />
      </div>
      <AnswersTable />
      <PromptTokens />
      {shown?.textProblem && <p class="note">No corrupt text: {shown.textProblem}.</p>}
      <CorruptionChoice />
      <OwnPair />
    </Panel>
  );
}

function PictureView({ which }: { readonly which: keyof PairInfo['pictures'] }): JSX.Element {
  const image = useRef<HTMLImageElement>(null);
  const blob = useComputed(() => pair.value?.pictures[which]);
  useSignalEffect(() => {
    if (!blob.value || !image.current) return;
    const url = URL.createObjectURL(blob.value);
    image.current.src = url;
    return () => URL.revokeObjectURL(url);
  });
  return (
    <figure>
      <div class="picture">
        {blob.value ? (
          <img ref={image} alt={`what the ${which} run sees`} />
        ) : (
          <p class="note">{pair.value ? noPicture(pair.value) : ''}</p>
        )}
      </div>
      <figcaption>{which}</figcaption>
    </figure>
  );
}

/** What stands in the place of a corrupt picture that there is none of. */
function noPicture({ spec: { image } }: PairInfo): string {
  if (image.kind === 'noise') return `noise of ${image.scale} σ on the picture’s embeddings`;
  if (image.kind === 'painted') return 'nothing is painted over yet';
  return 'the text sees no picture';
}
