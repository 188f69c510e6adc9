// What the browser keeps of models of the hub, model by model.

import { useComputed } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { listStored, stored } from '../state/model-choice.ts';
import { bytesText } from './format.ts';

export function StoredFiles(): JSX.Element | null {
  useEffect(() => void listStored(), []);
  const folders = useComputed(() =>
    [...new Set(stored.value.map(({ folder }) => folder))].map(
      (folder) => [folder, stored.value.filter((file) => file.folder === folder)] as const,
    ),
  );
  if (folders.value.length === 0) return null;
  return (
    <fieldset>
      <legend>Kept in this browser</legend>
      <ul class="stored">
        {folders.value.map(([folder, files]) => (
          <li key={folder}>
            <details>
              <summary>
                {folder.replace('https://huggingface.co/', '')}{' '}
                {bytesText(files.reduce((sum, { kept }) => sum + kept, 0))}
              </summary>
              <ul>
                {files.map(({ path, tag, kept, size }) => (
                  <li key={`${path} ${tag}`}>
                    {path} {bytesText(kept)}
                    {kept < size && ` of ${bytesText(size)}`}
                  </li>
                ))}
              </ul>
            </details>
            <button type="button" aria-label={`Delete ${folder}`} onClick={() => void listStored(folder)}>
              Delete
            </button>
          </li>
        ))}
      </ul>
    </fieldset>
  );
}
