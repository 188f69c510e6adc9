// What each run of the pair answers.

import type { JSX } from 'preact';
import type { RunAnswer } from '../protocol/session.ts';
import { pair } from '../state/app.ts';
import { signed } from './number-text.ts';

interface Run {
  readonly name: string;
  readonly answer: RunAnswer | undefined;
}

export function AnswersTable(): JSX.Element {
  const shown = pair.value;
  const { correct = 'correct', incorrect = 'incorrect' } = shown?.spec ?? {};
  const runs: readonly Run[] = [
    { name: 'clean', answer: shown?.clean },
    { name: 'corrupt image', answer: shown?.corrupt.image },
    { name: 'corrupt text', answer: shown?.corrupt.text },
  ];
  return (
    <>
      <table class="run-answers">
        <caption class="hidden">Answers of the runs</caption>
        <thead>
          <tr>
            <th scope="col">run</th>
            <th scope="col">answer</th>
            <th scope="col">P({correct})</th>
            <th scope="col">P({incorrect})</th>
            <th scope="col">
              <abbr title="logit difference: logit(correct) − logit(incorrect)">LD</abbr>
            </th>
          </tr>
        </thead>
        <tbody>
          {runs.map(({ name, answer }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="said">{answer?.answer ?? '–'}</td>
              <td>{answer ? answer.pCorrect.toFixed(3) : '–'}</td>
              <td>{answer ? answer.pIncorrect.toFixed(3) : '–'}</td>
              <td>{answer ? signed(answer.logitDifference) : '–'}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <details>
        <summary>Five likeliest first tokens</summary>
        <div class="first-tokens">
          {runs.map(({ name, answer }) => answer && <TopTokens key={name} name={name} answer={answer} />)}
        </div>
      </details>
    </>
  );
}

function TopTokens({
  name,
  answer: { top },
}: {
  readonly name: string;
  readonly answer: RunAnswer;
}): JSX.Element {
  return (
    <table>
      <caption>{name}</caption>
      <tbody>
        {top.map(({ token, p }) => (
          <tr key={token}>
            <th scope="row">{token}</th>
            <td>{p.toFixed(3)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
