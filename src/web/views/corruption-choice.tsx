// How the picture of the corrupt run is made.

import type { JSX } from 'preact';
import { useId } from 'preact/hooks';
import { pair } from '../state/app.ts';
import {
  type CorruptionKind,
  corruptBy,
  corruptByKind,
  noise,
  otherPicture,
} from '../state/corruption-choice.ts';
import { BoxPainter } from './box-painter.tsx';

const KINDS: Readonly<Record<CorruptionKind, string>> = {
  picture: 'another picture',
  noise: 'noise on its embeddings',
  painted: 'a region painted over',
  'no-image': 'no picture: the language alone',
};

export function CorruptionChoice(): JSX.Element {
  const name = useId();
  const chosen = pair.value?.spec.image;
  return (
    <fieldset class="corruption">
      <legend>Corrupt image</legend>
      {Object.entries(KINDS).map(([kind, title]) => (
        <label key={kind}>
          <input
            type="radio"
            name={name}
            value={kind}
            checked={chosen?.kind === kind}
            disabled={!chosen || (kind === 'picture' && !otherPicture.value)}
            onChange={() => corruptByKind(kind as CorruptionKind)}
          />{' '}
          {title}
        </label>
      ))}
      {chosen?.kind === 'noise' && <NoiseSettings />}
      {chosen?.kind === 'painted' && (
        <BoxPainter boxes={chosen.boxes} onChange={(boxes) => corruptBy({ kind: 'painted', boxes })} />
      )}
    </fieldset>
  );
}

/** Strength in standard deviations of the picture's embeddings, and which of the draws. */
function NoiseSettings(): JSX.Element {
  const change = (part: Partial<(typeof noise)['value']>) => {
    noise.value = { ...noise.value, ...part };
    corruptByKind('noise');
  };
  return (
    <div class="settings">
      <label>
        Strength{' '}
        <input
          type="range"
          min={0.5}
          max={6}
          step={0.5}
          value={noise.value.scale}
          onChange={({ currentTarget }) => change({ scale: currentTarget.valueAsNumber })}
        />{' '}
        <output>{noise.value.scale} σ</output>
      </label>
      <label>
        Draw{' '}
        <input
          type="number"
          min={0}
          step={1}
          value={noise.value.seed}
          onChange={({ currentTarget }) => {
            if (Number.isInteger(currentTarget.valueAsNumber)) change({ seed: currentTarget.valueAsNumber });
          }}
        />
      </label>
    </div>
  );
}
