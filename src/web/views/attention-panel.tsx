// Attention maps over the image.

import type { JSX } from 'preact';
import { Panel } from './layout.tsx';

export function AttentionPanel(): JSX.Element {
  return <Panel title="Attention" />;
}
