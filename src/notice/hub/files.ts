// Which files of a model repository are needed, and whether a folder has them.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileSize } from './cache.ts';

const INDEX = 'model.safetensors.index.json';
const SINGLE = 'model.safetensors';
const SHARD = /^model-\d+-of-\d+\.safetensors$/;
// Settings of model, processor and tokenizer; not the tables of other weight formats, nor training logs.
const SETTINGS =
  /^((generation_|preprocessor_|processor_|tokenizer_|image_processor_)?config|tokenizer|special_tokens_map|added_tokens|vocab|chat_template)\.json$|^(vocab\.txt|merges\.txt|tokenizer\.model)$/;

/**
 * The safetensors, configs and tokenizer among a repository's paths. Of the weights, one file if there is one, else the
 * shards and their index; no variants ("model.fp16.safetensors"), no other formats, nothing in folders.
 * @returns no weights if there are none in safetensors
 */
export function neededFiles(paths: readonly string[]): { weights: string[]; settings: string[] } {
  const single = paths.includes(SINGLE);
  const weights = paths.filter((path) => (single ? path === SINGLE : path === INDEX || SHARD.test(path)));
  return { weights, settings: paths.filter((path) => SETTINGS.test(path)) };
}

/** What a folder lacks to be a whole model: its config, or weight files. */
export async function missingFiles(folder: string): Promise<string[]> {
  const has = async (name: string) => (await fileSize(join(folder, name))) !== undefined;
  const missing = (await has('config.json')) ? [] : ['config.json'];
  if (await has(SINGLE)) return missing;
  for (const name of (await shardNames(folder)) ?? [SINGLE]) if (!(await has(name))) missing.push(name);
  return missing;
}

/** The shards that a folder's index names; a damaged index is missing itself. */
async function shardNames(folder: string): Promise<string[] | undefined> {
  const text = await readFile(join(folder, INDEX), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    const { weight_map } = JSON.parse(text) as { weight_map: Record<string, string> };
    return [...new Set(Object.values(weight_map))].sort();
  } catch {
    return [`sound ${INDEX}`];
  }
}
