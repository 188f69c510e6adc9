// Longer answers with and without what is pinned.

import type { JSX } from 'preact';
import { Panel } from './layout.tsx';

export function AnswerPanel(): JSX.Element {
  return <Panel title="Longer answers" />;
}
