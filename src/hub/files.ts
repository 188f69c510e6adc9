// Which files of a model repository are needed.

import { NoticeError } from '../errors.ts';

export const INDEX = 'model.safetensors.index.json';
export const SINGLE = 'model.safetensors';
// Settings of model, processor and tokenizer; not the tables of other weight formats, nor training logs. A second tokenizer has
// a folder of its own (InstructBLIP's `qformer_tokenizer`).
const SETTINGS =
  /^((generation_|preprocessor_|processor_|tokenizer_|image_processor_)?config|tokenizer|special_tokens_map|added_tokens|vocab|chat_template)\.json$|^chat_template\.jinja$|^(\w+_tokenizer\/)?(vocab\.txt|merges\.txt|tokenizer\.model)$|^\w+_tokenizer\/(tokenizer|tokenizer_config|special_tokens_map)\.json$/;

/**
 * The configs and tokenizer among a repository's paths, and of the weights one file if there is one, else the index, which
 * names the others; no variants ("model.fp16.safetensors"), no other formats, no other folders.
 * @returns no weights if there are none in safetensors
 */
export function neededFiles(paths: Iterable<string>): { weights: string | undefined; settings: string[] } {
  const all = [...paths];
  const weights = [SINGLE, INDEX].find((path) => all.includes(path));
  return { weights, settings: all.filter((path) => SETTINGS.test(path)) };
}

/** The refusal of a repository without safetensors. */
export function noWeights(model: string, paths: readonly string[]): NoticeError {
  const found = paths.slice(0, 20).join(', ') + (paths.length > 20 ? ', …' : '');
  return new NoticeError('weights', `${model} has no safetensors weights. Its files: ${found}.`);
}
