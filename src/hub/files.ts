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

/** What a folder of several models (diffusers' layout) begins with. */
export const PIPELINE = 'model_index.json';

const PIPELINE_SETTINGS =
  /^(model_index\.json|(unet|vae|text_encoder)\/config\.json|scheduler\/scheduler_config\.json|tokenizer\/(vocab|merges|tokenizer|tokenizer_config|special_tokens_map)\.(json|txt))$/;
const PARTS = [
  ['unet', 'diffusion_pytorch_model'],
  ['vae', 'diffusion_pytorch_model'],
  ['text_encoder', 'model'],
] as const;

/**
 * The files of an inpainting pipeline among a repository's paths: settings and tokenizer, and of each part the weights in one
 * file or in shards.
 *
 * @param variant `fp16`; default the files without one, of a part that has none those of fp16
 * @returns undefined if it is no pipeline; `lacking`: the parts without weights in safetensors
 */
export function pipelineFiles(
  paths: Iterable<string>,
  variant?: string,
): { settings: string[]; weights: string[]; lacking: string[] } | undefined {
  const all = [...paths];
  if (!all.includes(PIPELINE)) return undefined;
  const weightsOf = (part: string, stem: string, own: string): string[] => {
    const name = `${part}/${stem}`.replaceAll('.', '\\.');
    const shard = '(-\\d+-of-\\d+)?';
    const dotted = own === '' ? '' : `\\.${own}`;
    const pattern = new RegExp(
      `^${name}(${dotted}${shard}\\.safetensors|${shard}${dotted}\\.safetensors|\\.safetensors\\.index${dotted}\\.json|${dotted}\\.safetensors\\.index\\.json)$`,
    );
    return all.filter((path) => pattern.test(path));
  };
  const found = PARTS.map(([part, stem]) => {
    const tried = variant === undefined ? ['', 'fp16'] : [variant];
    return (
      tried
        .map((own) => weightsOf(part, stem, own))
        .find((files) => files.some((path) => path.endsWith('.safetensors'))) ?? []
    );
  });
  return {
    settings: all.filter((path) => PIPELINE_SETTINGS.test(path)),
    weights: found.flat(),
    lacking: PARTS.flatMap(([part], i) => (found[i]?.length === 0 ? [part] : [])),
  };
}
