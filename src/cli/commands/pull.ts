import { type Command, InvalidArgumentError } from 'commander';
import type { PullProgress } from '../../platform/node/hub/index.ts';
import { positiveInteger } from '../options.ts';
import { bytes } from '../plan.ts';
import { progressBar } from '../progress.ts';

export function pullCommand(program: Command): void {
  program
    .command('pull <model>')
    .description(
      "Downloads a model from the Hugging Face hub into Python's shared cache; prints its folder on stdout.",
    )
    .option(
      '--timeout <seconds>',
      'longest silence of the server (default HF_HUB_DOWNLOAD_TIMEOUT, else 30)',
      seconds,
    )
    .option('--attempts <n>', 'tries without progress before giving up', positiveInteger, 4)
    .option('--max-size <GiB>', 'refuse a larger model', positiveInteger, 1024)
    .option('--variant <name>', 'of an inpainting pipeline with several files of weights which: fp16')
    .addHelpText(
      'after',
      `
MODEL is owner/name, or owner/name@revision with a branch, tag or commit. Only safetensors, configs and the tokenizer
are loaded, each checked by its hash; what was cut off is gone on with. Two pulls of one model wait for each other. Afterwards every --model and --tokenizer takes the same id.

Environment, as for huggingface_hub:
  HF_TOKEN         access token, for gated and private models (default: that of \`hf auth login\`)
  HF_ENDPOINT      the hub's address (default https://huggingface.co)
  HF_HUB_CACHE     cache folder (default hub/ in HF_HOME, which is ~/.cache/huggingface)
  HF_HUB_OFFLINE   1: use what the cache has and ask no server
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY   proxies

Example:
  notice pull Salesforce/blip-vqa-base
  notice pull sd2-community/stable-diffusion-2-inpainting --variant fp16`,
    )
    .action((model: string, options: PullCommandOptions) => pull(model, options));
}

interface PullCommandOptions {
  readonly timeout?: number;
  readonly attempts: number;
  readonly maxSize: number;
  readonly variant?: string;
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(Number.isFinite(value) && value > 0)) throw new InvalidArgumentError('expected seconds.');
  return value;
}

async function pull(
  model: string,
  { timeout, attempts, maxSize, variant }: PullCommandOptions,
): Promise<void> {
  const { pullModel } = await import('../../platform/node/hub/index.ts');
  const bars = new FileBars();
  const { id, commit, folder, files } = await pullModel(model, {
    attempts,
    maxModelBytes: maxSize * 1024 ** 3,
    ...(variant !== undefined && { variant }),
    ...(timeout !== undefined && { silenceMs: timeout * 1000 }),
    onProgress: bars.update,
    onWait: (owner) => console.error(`Waiting for ${owner}, which pulls the same model …`),
  }).finally(bars.stop);
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const loaded = files.filter(({ downloaded }) => downloaded).length;
  console.error(
    files.length === 0
      ? `${id} at ${commit}, as it is in the cache (offline)`
      : `${id} at ${commit}: ${files.length} files, ${bytes(size)}, ${loaded} downloaded now`,
  );
  console.log(folder);
}

const MEBIBYTE = 1024 ** 2;

/** A progress bar for each file; without a terminal a line. */
class FileBars {
  #path = '';
  #bar = progressBar('');

  readonly update = ({ path, received, total }: PullProgress): void => {
    if (path !== this.#path) {
      this.stop();
      this.#path = path;
      if (!process.stderr.isTTY) console.error(`${path}, ${bytes(total)} …`);
      this.#bar = progressBar(`MiB of ${path}`);
    }
    this.#bar.update(Math.ceil(received / MEBIBYTE), Math.ceil(total / MEBIBYTE));
  };

  readonly stop = (): void => this.#bar.stop();
}
