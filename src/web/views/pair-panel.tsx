// The clean and the corrupt picture, the question, and what the model answers to each.

import { useComputed, useSignalEffect } from '@preact/signals';
import type { JSX } from 'preact';
import { useRef } from 'preact/hooks';
import type { RunAnswer } from '../protocol/session.ts';
import { pair } from '../state/app.ts';
import { Panel } from './layout.tsx';

export function PairPanel(): JSX.Element {
  const shown = pair.value;
  return (
    <Panel title="Pair">
      <div class="pictures">
        <PictureView which="clean" />
        <PictureView which="corrupt" />
      </div>
      <p class="question">{shown?.spec.question}</p>
      <AnswerView title="Clean" answer={shown?.clean} />
      <AnswerView title="Corrupt image" answer={shown?.corrupt.image} />
      <AnswerView title="Corrupt text" answer={shown?.corrupt.text} />
    </Panel>
  );
}

function PictureView({ which }: { readonly which: 'clean' | 'corrupt' }): JSX.Element {
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
      <img ref={image} alt={`what the ${which} run sees`} width={128} height={128} />
      <figcaption>{which}</figcaption>
    </figure>
  );
}

function AnswerView({
  title,
  answer,
}: {
  readonly title: string;
  readonly answer: RunAnswer | undefined;
}): JSX.Element | null {
  if (!answer) return null;
  return (
    <p>
      {title}: <b>{answer.answer}</b>, P(correct) {answer.pCorrect.toFixed(3)}, logit difference{' '}
      {answer.logitDifference.toFixed(3)}
    </p>
  );
}
