// What the page holds, to go on with elsewhere: a program for Node, an experiment for the command line.

import type { JSX } from 'preact';
import { pair } from '../state/app.ts';
import { experiment, program } from '../state/take-away.ts';
import { CopyButton } from './copy-button.tsx';
import { download } from './export.ts';
import { Panel } from './layout.tsx';
import './reading.css';

export function TakeAwayPanel(): JSX.Element {
  const ready = pair.value !== undefined;
  const save = (name: string, text: string | undefined) => {
    if (text !== undefined) download(name, new Blob([text], { type: 'text/plain' }));
  };
  return (
    <Panel title="Take it away">
      <div class="controls">
        <CopyButton text={() => program() ?? ''} disabled={!ready}>
          Copy as code
        </CopyButton>
        <button type="button" disabled={!ready} onClick={() => save('program.mjs', program())}>
          Save program
        </button>
        <button type="button" disabled={!ready} onClick={() => save('experiment.yaml', experiment())}>
          Save experiment
        </button>
      </div>
      <p class="note">
        The program does what is pinned in Node and prints the numbers shown here, those “on n pairs” too. The
        experiment is a configuration of <code>notice run</code>.
      </p>
    </Panel>
  );
}
