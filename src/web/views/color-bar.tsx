// What the colours of a map stand for.
// biome-ignore-all lint/a11y/noSvgWithoutTitle: it is hidden from screen readers, which are told the values

import type { JSX } from 'preact';
import type { EffectScale } from '../../notice/plots/colors.ts';

export function ColorBar({
  scale,
  format,
}: {
  readonly scale: EffectScale;
  readonly format: (value: number) => string;
}): JSX.Element {
  const steps = 24;
  const { low, high, color } = scale;
  return (
    <div class="color-bar" aria-hidden="true">
      <span>{format(low)}</span>
      <svg viewBox={`0 0 ${steps} 1`} preserveAspectRatio="none">
        {Array.from({ length: steps }, (_, i) => (
          <rect
            key={i}
            x={i}
            y={0}
            width={1.05}
            height={1}
            fill={color(low + ((i + 0.5) / steps) * (high - low))}
          />
        ))}
      </svg>
      <span>{format(high)}</span>
    </div>
  );
}
