// A picture that the user gives: by a file picker, or dropped onto it.

import { type Signal, useSignalEffect } from '@preact/signals';
import type { JSX } from 'preact';
import { useRef } from 'preact/hooks';
import type { Picture } from '../protocol/session.ts';
import { useDropTarget } from './drop-target.ts';

/** What is read; TIFF is not, in browsers. */
const FORMATS = 'image/png,image/jpeg,image/webp,image/gif';

interface PictureInputProps {
  readonly title: string;
  readonly picture: Signal<Picture | undefined>;
  /** What it means that there is none. */
  readonly note?: string;
}

export function PictureInput({ title, picture, note = 'none yet' }: PictureInputProps): JSX.Element {
  const image = useRef<HTMLImageElement>(null);
  useSignalEffect(() => {
    if (picture.value?.kind !== 'file' || !image.current) return;
    const url = URL.createObjectURL(picture.value.file);
    image.current.src = url;
    return () => URL.revokeObjectURL(url);
  });
  const take = (files: FileList | null | undefined) => {
    const file = files?.[0];
    if (file) picture.value = pictureOf(file);
  };
  const { isOver, handlers } = useDropTarget((dropped) => take(dropped?.files));
  const name = picture.value?.kind === 'file' ? picture.value.name : undefined;
  return (
    <label class={`picture-input ${isOver ? 'over' : ''}`} {...handlers}>
      {title}
      <span class="picture">
        <img ref={image} alt="" hidden={name === undefined} />
        {name === undefined && <span class="note">{note}</span>}
      </span>
      <input type="file" accept={FORMATS} onChange={({ currentTarget }) => take(currentTarget.files)} />
    </label>
  );
}

/** The picture that a paste brings, if it brings one. */
export function pastedPicture({ clipboardData }: ClipboardEvent): Picture | undefined {
  const file = Array.from(clipboardData?.files ?? []).find(({ type }) => type.startsWith('image/'));
  return file && pictureOf(file);
}

function pictureOf(file: File): Picture {
  return { kind: 'file', name: file.name, file };
}
