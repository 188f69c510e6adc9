// What is pinned, applied to other pairs of the data set.

import type { JSX } from 'preact';
import { Panel } from './layout.tsx';

export function PairsPanel(): JSX.Element {
  return <Panel title="On n pairs" />;
}
