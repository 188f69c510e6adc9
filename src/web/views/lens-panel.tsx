// What the residual stream says after each layer.

import type { JSX } from 'preact';
import { Panel } from './layout.tsx';

export function LensPanel(): JSX.Element {
  return <Panel title="Logit lens" />;
}
