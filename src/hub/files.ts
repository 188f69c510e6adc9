// Which files of a model repository are needed.

export const INDEX = 'model.safetensors.index.json';
export const SINGLE = 'model.safetensors';
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
