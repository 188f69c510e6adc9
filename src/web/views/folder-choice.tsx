// A model folder on the user's machine: by picker, or dropped here.

import type { JSX } from 'preact';
import { report } from '../state/app.ts';
import {
  directoryPicker,
  droppedFolder,
  type FolderFiles,
  inputFolder,
  pickFolder,
} from '../state/folder-files.ts';
import { planModel } from '../state/model-choice.ts';
import { useDropTarget } from './drop-target.ts';

export function FolderChoice(): JSX.Element {
  const { isOver, handlers } = useDropTarget((dropped) => void take(droppedFolder(dropped)));
  const picker = directoryPicker();
  return (
    <fieldset class={isOver ? 'over' : ''} {...handlers}>
      <legend>Folder on this machine</legend>
      <p class="note">
        In Hugging Face’s layout: config.json, safetensors, tokenizer. Choose it, or drop it here.
      </p>
      {picker ? (
        <button type="button" onClick={() => void take(pickFolder(picker))}>
          Choose a folder
        </button>
      ) : (
        <label>
          Choose a folder
          <input
            type="file"
            // @ts-expect-error: every browser has it, no standard
            webkitdirectory
            onChange={({ currentTarget }) =>
              void take(Promise.resolve(currentTarget.files ? inputFolder(currentTarget.files) : undefined))
            }
          />
        </label>
      )}
    </fieldset>
  );
}

async function take(given: Promise<FolderFiles | undefined>): Promise<void> {
  try {
    const folder = await given;
    if (folder) await planModel({ kind: 'folder', ...folder });
  } catch (error) {
    report(error);
  }
}
