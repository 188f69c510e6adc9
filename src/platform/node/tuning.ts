// Tuning tables of this machine's adapters, in the user's cache. `notice bench --tune` writes them, openGpu reads them.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NoticeError } from '../../errors.ts';
import type { AdapterIdentity, TuningTable } from '../../gpu/index.ts';
import { parseTuning } from '../../kernels/index.ts';
import { cacheFolder } from './cache.ts';
import { writeWhole } from './whole-file.ts';

/** The file of an adapter with its driver: another driver is to be measured anew. */
export function tuningFile({ vendor, architecture, description }: AdapterIdentity): string {
  const name = `${vendor} ${architecture} ${description}`.toLowerCase().replace(/[^a-z0-9.]+/g, '-');
  return join(cacheFolder(), 'tuning', `${name}.json`);
}

/**
 * What was measured on an adapter; an empty table if nothing was.
 *
 * @throws NoticeError('config') for a damaged file
 */
export function readTuning(adapter: AdapterIdentity): TuningTable {
  const file = tuningFile(adapter);
  if (!existsSync(file)) return {};
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new NoticeError('config', `${file} is no JSON. Delete it.`, { cause });
  }
  return parseTuning(json, file);
}

/**
 * @returns the file
 * @throws NoticeError('file')
 */
export async function writeTuning(adapter: AdapterIdentity, table: TuningTable): Promise<string> {
  const file = tuningFile(adapter);
  await writeWhole(file, `${JSON.stringify(table, null, 2)}\n`);
  return file;
}
