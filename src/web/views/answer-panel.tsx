// A longer answer of the corrupt run, without and with what is pinned: side by side, and token by token.

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { AnswerPart, Answers } from '../protocol/reading.ts';
import { doing, pair } from '../state/app.ts';
import { diffWords } from '../state/diff.ts';
import { cancel, run } from '../state/engine.ts';
import { corruption } from '../state/patched.ts';
import { activePins } from '../state/pins.ts';
import { Panel } from './layout.tsx';
import { signed } from './number-text.ts';
import './reading.css';

const MOST_TOKENS = 200;

type Texts = Readonly<Record<AnswerPart['run'], string>>;

const texts = signal<Texts>({ plain: '', patched: '' });
const answers = signal<Answers | undefined>(undefined);
const generating = signal(false);

async function generate(question: string | undefined, maxNewTokens: number): Promise<void> {
  generating.value = true;
  answers.value = undefined;
  texts.value = { plain: '', patched: '' };
  const spec = { corruption: corruption.value, pins: activePins.value, question, maxNewTokens };
  await doing('Answering', async () => {
    const found = await run('answers', spec, {
      onEvent: (part) => {
        texts.value = { ...texts.value, [part.run]: part.text };
      },
    });
    texts.value = { plain: found.plain, patched: found.patched };
    answers.value = found;
  });
  generating.value = false;
}

export function AnswerPanel(): JSX.Element {
  const [question, setQuestion] = useState('');
  const [length, setLength] = useState(20);
  const shown = pair.value;
  const own = corruption.value === 'image';
  return (
    <Panel title="Longer answers">
      <p class="note">
        The corrupt run answers, without and with what is pinned; pins without positions hold for new tokens,
        too. Each word follows from the ones before it, so the table shows what the pins do to the answer
        without them (teacher forcing).
      </p>
      <form
        class="controls"
        onSubmit={(event) => {
          event.preventDefault();
          void generate(own && question.trim() ? question : undefined, length);
        }}
      >
        <label class="wide">
          Question{' '}
          <input
            type="text"
            value={question}
            disabled={!own}
            placeholder={shown?.spec.question ?? ''}
            onInput={({ currentTarget }) => setQuestion(currentTarget.value)}
          />
        </label>
        <label>
          Tokens{' '}
          <input
            type="number"
            min={1}
            max={MOST_TOKENS}
            value={length}
            onInput={({ currentTarget }) =>
              setLength(Math.min(Math.max(Math.floor(Number(currentTarget.value)) || 1, 1), MOST_TOKENS))
            }
          />
        </label>
        <button type="submit" disabled={!shown || generating.value}>
          Answer
        </button>
        {generating.value && (
          <button type="button" onClick={() => cancel('answers')}>
            Stop
          </button>
        )}
      </form>
      {activePins.value.length === 0 && <p class="note">Nothing is pinned: both answers are the same.</p>}
      <BothTexts texts={texts.value} done={answers.value !== undefined} />
      {answers.value && <Tokens answers={answers.value} />}
    </Panel>
  );
}

function BothTexts({ texts, done }: { readonly texts: Texts; readonly done: boolean }): JSX.Element {
  const parts = done ? diffWords(texts.plain, texts.patched) : undefined;
  return (
    <div class="answers" aria-live="polite">
      <section aria-label="Without pins">
        <h3>Without pins</h3>
        <p>
          {parts
            ? parts.map(({ kind, text }, i) =>
                kind === 'added' ? null : kind === 'removed' ? <del key={i}>{text}</del> : text,
              )
            : texts.plain}
        </p>
      </section>
      <section aria-label="With pins">
        <h3>With pins</h3>
        <p>
          {parts
            ? parts.map(({ kind, text }, i) =>
                kind === 'removed' ? null : kind === 'added' ? <ins key={i}>{text}</ins> : text,
              )
            : texts.patched}
        </p>
      </section>
    </div>
  );
}

function Tokens({ answers: { tokens } }: { readonly answers: Answers }): JSX.Element {
  const sum = (of: 'plain' | 'patched') => tokens.reduce((total, token) => total + token[of], 0);
  const row = (text: string, plain: number, patched: number, key: number) => (
    <tr key={key}>
      <th scope="row">{text}</th>
      <td>{signed(plain)}</td>
      <td>{signed(patched)}</td>
      <td>{signed(patched - plain)}</td>
    </tr>
  );
  return (
    <div class="scrolling">
      <table>
        <caption>ln P of every token of the answer without pins</caption>
        <thead>
          <tr>
            <th scope="col">token</th>
            <th scope="col">without</th>
            <th scope="col">with</th>
            <th scope="col">change</th>
          </tr>
        </thead>
        <tbody>
          {tokens.map(({ text, plain, patched }, i) => row(text, plain, patched, i))}
          {row('all', sum('plain'), sum('patched'), tokens.length)}
        </tbody>
      </table>
    </div>
  );
}
