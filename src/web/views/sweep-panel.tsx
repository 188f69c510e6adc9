// Sweep maps: restoration by site, layer and token, and by head.

import type { JSX } from 'preact';
import { Panel } from './layout.tsx';

export function SweepPanel(): JSX.Element {
  return <Panel title="Patching maps" />;
}
