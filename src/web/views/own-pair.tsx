// A pair of one's own: two pictures by drop, paste or picker, and a question with two options.

import { useComputed, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import type { Picture } from '../protocol/session.ts';
import { choosePair } from '../state/app.ts';
import { given, noise } from '../state/corruption-choice.ts';
import { withOptions } from '../state/own-question.ts';
import { PictureInput, pastedPicture } from './picture-input.tsx';

export function OwnPair(): JSX.Element {
  const open = useSignal(false);
  const clean = useSignal<Picture | undefined>(undefined);
  const question = useSignal('is this a cat or dog?');
  const correct = useSignal('cat');
  const incorrect = useSignal('dog');
  const standIns = useSignal(['', ''] as readonly [string, string]);
  const corruptQuestion = useComputed(() =>
    withOptions(question.value, { correct: correct.value, incorrect: incorrect.value }, standIns.value),
  );
  useEffect(() => {
    const onPaste = (event: ClipboardEvent) => {
      const picture = open.value ? pastedPicture(event) : undefined;
      if (!picture) return;
      event.preventDefault();
      // The first picture is the clean one, the next the corrupt.
      if (clean.value) given.value = picture;
      else clean.value = picture;
    };
    document.addEventListener('paste', onPaste);
    return () => document.removeEventListener('paste', onPaste);
  }, [open, clean]);
  const ask = (event: Event) => {
    event.preventDefault();
    if (!clean.value) return;
    void choosePair({
      clean: clean.value,
      image: given.value ? { kind: 'picture', picture: given.value } : { kind: 'noise', ...noise.value },
      question: question.value,
      correct: correct.value,
      incorrect: incorrect.value,
      ...(corruptQuestion.value !== undefined && { corruptQuestion: corruptQuestion.value }),
    });
  };
  return (
    <details
      class="own-pair"
      open={open.value}
      onToggle={({ currentTarget }) => {
        open.value = currentTarget.open;
      }}
    >
      <summary>Your own pictures and question</summary>
      <form onSubmit={ask}>
        <p class="note">Drop, paste or choose pictures. They stay in this browser.</p>
        <div class="pictures">
          <PictureInput title="Clean picture" picture={clean} />
          <PictureInput title="Corrupt picture" picture={given} note="none: noise on the clean one" />
        </div>
        <TextInput title="Question, with the two options in it" value={question} />
        <div class="two">
          <TextInput title="Correct option" value={correct} />
          <TextInput title="Incorrect option" value={incorrect} />
        </div>
        <fieldset>
          <legend>Corrupt text: words in the options’ place</legend>
          <div class="two">
            {([0, 1] as const).map((at) => (
              <label key={at}>
                for “{at === 0 ? correct.value : incorrect.value}”
                <input
                  type="text"
                  value={standIns.value[at]}
                  onInput={({ currentTarget }) => {
                    standIns.value = standIns.value.with(at, currentTarget.value) as [string, string];
                  }}
                />
              </label>
            ))}
          </div>
          <button
            type="button"
            onClick={() => {
              standIns.value = [incorrect.value, correct.value];
            }}
          >
            Swap the two options
          </button>
          {corruptQuestion.value && <p class="note">{corruptQuestion.value}</p>}
        </fieldset>
        <button type="submit" class="main" disabled={!clean.value}>
          Ask the model
        </button>
      </form>
    </details>
  );
}

function TextInput({
  title,
  value,
}: {
  readonly title: string;
  readonly value: { value: string };
}): JSX.Element {
  return (
    <label>
      {title}
      <input
        type="text"
        required
        value={value.value}
        onInput={({ currentTarget }) => {
          value.value = currentTarget.value;
        }}
      />
    </label>
  );
}
