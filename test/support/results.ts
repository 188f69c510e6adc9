// A results folder as bytes, to compare two of them.

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Digests of all files below a folder by their paths, those that a report is made of alone; of run.json what does not hang on the time. */
export async function filesOf(folder: string): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  const paths = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = paths.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  for (const file of files.sort()) {
    const name = file.slice(folder.length + 1);
    const bytes = await readFile(file);
    if (name === 'run.json') {
      const {
        started: _,
        finished: __,
        seconds: ___,
        checksum: ____,
        ...record
      } = JSON.parse(bytes.toString('utf8'));
      found[name] = JSON.stringify(record);
    } else found[name] = createHash('sha256').update(bytes).digest('hex');
  }
  return found;
}

/** The same without the report, which says when it was made. */
export async function resultsOf(folder: string): Promise<Record<string, unknown>> {
  const { 'report.html': _, ...files } = await filesOf(folder);
  return files;
}
