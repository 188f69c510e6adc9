// Rates of the kernels and of the forward pass on this device.

import type { JSX } from 'preact';
import { Panel } from './layout.tsx';

export function BenchPanel(): JSX.Element {
  return <Panel title="This device" />;
}
