// SVO-Probes: its images, then its pairs. English grammar is loaded when a command runs, not when the program starts.

import { type Command, InvalidArgumentError, Option } from 'commander';
import { NoticeError } from '../../../errors.ts';
import { NetworkError } from '../../../hub/index.ts';
import { DataError, downloadImages, writeDrops } from '../../../notice/datasets/index.ts';
import type { SvoGrammar } from '../../../notice/datasets/svo-probes.ts';
import { positiveInteger } from '../../options.ts';
import { progressBar } from '../../progress.ts';
import {
  addBuildOptions,
  type BuildCommandOptions,
  buildOptions,
  printDrops,
  withoutExtension,
  writeBuild,
} from './build.ts';

interface SvoDownloadOptions {
  readonly csv: string;
  readonly images: string;
  readonly hosts: number;
  readonly pause: number;
  readonly retryFailed?: boolean;
}

export function svoDownloadCommand(data: Command): void {
  data
    .command('svo-download')
    .description(
      "Downloads the images of SVO-Probes' CSV, politely; called again, it goes on where it stopped.",
    )
    .requiredOption('--csv <file>', 'svo_probes.csv, as published')
    .requiredOption('--images <folder>', 'where the images go')
    .option('--hosts <n>', 'servers to load from at a time, one image each', positiveInteger, 8)
    .option('--pause <ms>', 'pause between two images of one server', milliseconds, 1000)
    .option('--retry-failed', 'try again also what was gone, refused or no image before')
    .addHelpText(
      'after',
      `
Example: notice data svo-download --csv svo_probes.csv --images data/svo-probes
Many addresses of 2021 are dead. Each download, and why one failed, is a line of FOLDER.downloads.jsonl.`,
    )
    .action((options: SvoDownloadOptions) => svoDownload(options));
}

async function svoDownload({ csv, images, hosts, pause, retryFailed }: SvoDownloadOptions): Promise<void> {
  const { readSvo, svoDownloads } = await import('../../../notice/datasets/svo-probes.ts');
  const { rows, drops } = await readSvo(csv);
  const downloads = svoDownloads(rows);
  if (downloads.length === 0) {
    printDrops(drops);
    throw new DataError(`${csv} has no row that can be used.`);
  }
  const bar = progressBar('images');
  const { stored, present, failed } = await downloadImages(downloads, {
    folder: images,
    concurrency: hosts,
    hostPauseMs: pause,
    ...(retryFailed ? { retryFailed } : {}),
    onProgress: bar.update,
    onWait: (owner) => console.error(`Waiting for ${owner}, which downloads into ${images} …`),
  }).finally(bar.stop);
  console.log(
    `${downloads.length} images of ${rows.length} rows: ${stored} downloaded, ${present} there before, ${failed.length} missing`,
  );
  if (failed.length > 0) {
    const log = `${images}.missing.jsonl`;
    const reason = (temporary: boolean) => (temporary ? 'try-again' : 'lost');
    const missing = failed.map(({ name, error, temporary }) => ({
      source: name,
      reason: reason(temporary),
      detail: error,
    }));
    await writeDrops(log, missing);
    printDrops(missing);
    console.log(`The missing ones, each with its reason, stand in ${log}`);
  }
  const [first] = failed;
  if (first && stored + present === 0)
    throw new NetworkError(first.url, `no image could be downloaded: ${first.error}`, {
      temporary: first.temporary,
    });
}

interface SvoProbesOptions extends BuildCommandOptions {
  readonly csv: string;
  readonly images: string;
  readonly grammar: 'rules' | 'endpoint';
  readonly endpoint?: string;
  readonly endpointModel?: string;
  readonly cache?: string;
}

export function svoProbesCommand(data: Command): void {
  const command = data
    .command('svo-probes')
    .description('Pairs of SVO-Probes (subject, verb, object), from its CSV and a folder of its images.')
    .requiredOption('--csv <file>', 'svo_probes.csv, as published')
    .requiredOption('--images <folder>', 'its images, named as svo-download names them');
  addBuildOptions(command)
    .addOption(
      new Option('--grammar <how>', 'who makes questions of triplets: rules, or a language model')
        .choices(['rules', 'endpoint'])
        .default('rules'),
    )
    .option('--endpoint <url>', 'OpenAI-compatible address for --grammar endpoint, up to and with /v1')
    .option('--endpoint-model <name>', 'its model; the key is read from OPENAI_API_KEY')
    .option('--cache <folder>', 'where its answers are kept (default NAME.answers beside the manifest)')
    .addHelpText(
      'after',
      `
Example: notice data svo-probes --csv svo_probes.csv --images data/svo-probes --out data/svo-probes.csv \\
           --tokenizer Salesforce/blip-vqa-base`,
    )
    .action((options: SvoProbesOptions) => svoProbes(options));
}

async function svoProbes(options: SvoProbesOptions): Promise<void> {
  const { csv, images, out } = options;
  const { buildSvo } = await import('../../../notice/datasets/svo-probes.ts');
  const grammar = await grammarOf(options);
  const result = await buildSvo(csv, images, { ...(await buildOptions(options)), ...grammar });
  await writeBuild(out, result, 'rows');
}

async function grammarOf({
  grammar,
  endpoint,
  endpointModel,
  cache,
  out,
}: SvoProbesOptions): Promise<{ grammar?: SvoGrammar }> {
  if (grammar === 'rules') {
    if (endpoint || endpointModel || cache)
      throw new NoticeError('usage', '--endpoint, --endpoint-model and --cache need --grammar endpoint');
    return {};
  }
  if (!endpoint || !endpointModel)
    throw new NoticeError('usage', '--grammar endpoint needs --endpoint and --endpoint-model');
  const { endpointGrammar } = await import('../../../notice/datasets/svo-probes.ts');
  const apiKey = process.env.OPENAI_API_KEY?.trim();
  return {
    grammar: endpointGrammar({
      baseUrl: endpoint,
      model: endpointModel,
      cache: cache ?? `${withoutExtension(out)}.answers`,
      ...(apiKey ? { apiKey } : {}),
    }),
  };
}

function milliseconds(text: string): number {
  const value = Number(text);
  if (!(Number.isFinite(value) && value >= 0)) throw new InvalidArgumentError('expected milliseconds.');
  return value;
}
