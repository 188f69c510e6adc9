// What is pinned, and what the patched run answers.

import type { JSX } from 'preact';
import { Panel } from './layout.tsx';

export function PinsPanel(): JSX.Element {
  return <Panel title="Patch" />;
}
