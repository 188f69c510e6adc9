// Boxes on the clean picture that are painted over in the corrupt run: drawn with the pointer, or by numbers.

import { useComputed, useSignal, useSignalEffect } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Box } from '../../inputs/image.ts';
import { pair } from '../state/app.ts';

interface BoxPainterProps {
  /** In the picture's pixels. */
  readonly boxes: readonly Box[];
  readonly onChange: (boxes: readonly Box[]) => void;
}

const SIDES = ['left', 'top', 'right', 'bottom'] as const;

export function BoxPainter({ boxes, onChange }: BoxPainterProps): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const picture = useSignal<ImageBitmap | undefined>(undefined);
  const begun = useSignal<readonly [number, number] | undefined>(undefined);
  const drawn = useSignal<Box | undefined>(undefined);
  const file = useComputed(() => pair.value?.pictures.clean);
  useSignalEffect(() => {
    const blob = file.value;
    if (!blob) return;
    let wanted = true;
    void createImageBitmap(blob).then((bitmap) => {
      if (wanted) picture.value = bitmap;
    });
    return () => {
      wanted = false;
    };
  });
  useEffect(
    () => draw(canvas.current, picture.value, drawn.value ? [...boxes, drawn.value] : boxes),
    [picture.value, drawn.value, boxes],
  );
  const at = (event: PointerEvent): readonly [number, number] => {
    const { left, top, width, height } = (event.currentTarget as HTMLCanvasElement).getBoundingClientRect();
    const { width: across = 1, height: down = 1 } = picture.value ?? {};
    return [
      Math.round(((event.clientX - left) / width) * across),
      Math.round(((event.clientY - top) / height) * down),
    ];
  };
  const boxTo = ([x, y]: readonly [number, number]): Box | undefined => {
    if (!begun.value) return undefined;
    const [x0, y0] = begun.value;
    return [Math.min(x0, x), Math.min(y0, y), Math.max(x0, x), Math.max(y0, y)];
  };
  const change = (index: number, side: number, value: number) =>
    onChange(boxes.map((box, i) => (i === index ? (box.with(side, value) as unknown as Box) : box)));
  const middle = (): Box => {
    const { width = 4, height = 4 } = picture.value ?? {};
    return [width / 4, height / 4, (3 * width) / 4, (3 * height) / 4].map(Math.round) as unknown as Box;
  };
  return (
    <div class="painter">
      <canvas
        ref={canvas}
        role="img"
        aria-label="The clean picture with what is painted over. Drag to add a box."
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          begun.value = at(event);
        }}
        onPointerMove={(event) => {
          drawn.value = boxTo(at(event));
        }}
        onPointerUp={(event) => {
          const box = boxTo(at(event));
          begun.value = undefined;
          drawn.value = undefined;
          if (box && box[2] > box[0] && box[3] > box[1]) onChange([...boxes, box]);
        }}
      />
      <ul class="boxes" aria-label="Boxes that are painted over">
        {boxes.map((box, i) => (
          <li key={i}>
            {SIDES.map((side, s) => (
              <label key={side}>
                <span class="hidden">Box {i + 1}, </span>
                {side}{' '}
                <input
                  type="number"
                  min={0}
                  value={box[s]}
                  onChange={({ currentTarget }) => change(i, s, currentTarget.valueAsNumber || 0)}
                />
              </label>
            ))}
            <button
              type="button"
              aria-label={`Remove box ${i + 1}`}
              onClick={() => onChange(boxes.filter((_, other) => other !== i))}
            >
              ×
            </button>
          </li>
        ))}
      </ul>
      <button type="button" onClick={() => onChange([...boxes, middle()])}>
        Add a box
      </button>
    </div>
  );
}

function draw(
  canvas: HTMLCanvasElement | null,
  picture: ImageBitmap | undefined,
  boxes: readonly Box[],
): void {
  const context = canvas?.getContext('2d');
  if (!canvas || !context || !picture) return;
  canvas.width = picture.width;
  canvas.height = picture.height;
  context.drawImage(picture, 0, 0);
  for (const [left, top, right, bottom] of boxes) {
    context.fillStyle = 'rgb(128 128 128 / 0.9)';
    context.fillRect(left, top, right - left, bottom - top);
  }
}
