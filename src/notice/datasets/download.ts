// Images by URL, politely: one connection to a host at a time with a pause between, growing pauses after failures, nothing
// loaded twice. A download that fails is written to a log; it never becomes an image.

import { appendFile, mkdir, readdir, readFile, rename, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type HttpOptions, NetworkError } from '../../hub/index.ts';
import { withClaim } from '../../platform/node/claim.ts';
import { discardPartial, downloadTo } from '../../platform/node/hub/index.ts';
import { named } from '../../platform/node/whole-file.ts';
import { mapConcurrent } from './concurrent.ts';
import { DataError } from './errors.ts';
import { type DecodedImage, decodeImage, stem } from './images.ts';

export interface ImageDownload {
  /** File name without extension, unique. */
  readonly name: string;
  readonly url: string;
}

export interface ImageDownloadOptions extends HttpOptions {
  /** Where the images go, as `{name}.{extension of what it is}`. Unfinished ones wait beside it in `{folder}.partial`. */
  readonly folder: string;
  /** JSON lines, one per finished download. Default `{folder}.downloads.jsonl`. */
  readonly log?: string;
  /** Hosts at a time. Default 8. */
  readonly concurrency?: number;
  /** Pause between two downloads from one host. Default 1000 ms. */
  readonly hostPauseMs?: number;
  /** Default 50 MB. */
  readonly maxBytes?: number;
  /** Try again also what failed for good before: refused, gone, too long, not an image. */
  readonly retryFailed?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
  /** Called if another process loads images into the folder: this one waits. */
  readonly onWait?: (owner: string) => void;
}

/** A line of the log. */
export type DownloadRecord = StoredDownload | FailedDownload;

export interface StoredDownload extends ImageDownload, DecodedImage {
  readonly status: 'stored';
  /** File name in the folder. */
  readonly file: string;
  readonly bytes: number;
}

export interface FailedDownload extends ImageDownload {
  readonly status: 'failed';
  readonly error: string;
  /** Whether another call tries again. */
  readonly temporary: boolean;
}

export interface DownloadSummary {
  /** Images stored by this call. */
  readonly stored: number;
  /** Images that were there before. */
  readonly present: number;
  /** What is still missing, with the last reason for it. */
  readonly failed: readonly FailedDownload[];
}

/** Files that are decoded at a time. */
const AT_ONCE = 4;
const USER_AGENT = 'notice-webgpu (research images; one request per host at a time)';

/**
 * Downloads images into a folder. Each one is decoded before it gets its name. Called again, it loads what is missing:
 * half-loaded files go on where they stopped, and what failed for good is left alone unless `retryFailed`.
 * @throws DataError two downloads with one name, a name that is no plain file name, or a damaged log; NoticeError('file')
 */
export async function downloadImages(
  downloads: readonly ImageDownload[],
  options: ImageDownloadOptions,
): Promise<DownloadSummary> {
  checkNames(downloads);
  return await withClaim(`${options.folder}.claim`, () => loadMissing(downloads, options), options);
}

async function loadMissing(
  downloads: readonly ImageDownload[],
  options: ImageDownloadOptions,
): Promise<DownloadSummary> {
  const { folder, log = `${folder}.downloads.jsonl` } = options;
  for (const needed of [folder, `${folder}.partial`, dirname(log)])
    await named(needed, () => mkdir(needed, { recursive: true }));

  const wantedNames = new Set(downloads.map(({ name }) => name));
  const present = await soundNames(folder, wantedNames);
  const lost = options.retryFailed ? [] : (await readLog(log)).filter(failedForGood);
  const lostByName = new Map(lost.map((record) => [record.name, record]));
  const missing = downloads.filter(({ name }) => !present.has(name));
  const failed = missing.flatMap(({ name }) => lostByName.get(name) ?? []);
  const wanted = missing.filter(({ name }) => !lostByName.has(name));
  let done = downloads.length - wanted.length;
  let stored = 0;

  const stop = new AbortController();
  await mapConcurrent(byHost(wanted), options.concurrency ?? 8, async (sameHost) => {
    for (const [index, download] of sameHost.entries()) {
      if (index > 0) await sleep(options.hostPauseMs ?? 1000);
      stop.signal.throwIfAborted();
      const record = await loadImage(download, { ...options, log }).catch((error: unknown) => {
        // What one cannot write the others cannot.
        stop.abort(error);
        throw error;
      });
      if (record.status === 'stored') stored++;
      else failed.push(record);
      options.onProgress?.(++done, downloads.length);
    }
  });
  return { stored, present: downloads.length - missing.length, failed };
}

/** Downloads one, and says so in the log. */
async function loadImage(
  download: ImageDownload,
  options: ImageDownloadOptions & { readonly log: string },
): Promise<DownloadRecord> {
  const record = await downloadImage(download, options);
  await named(options.log, () => appendFile(options.log, `${JSON.stringify(record)}\n`));
  return record;
}

async function downloadImage(
  { name, url }: ImageDownload,
  { folder, maxBytes = 50e6, ...retry }: ImageDownloadOptions,
): Promise<DownloadRecord> {
  const partial = join(`${folder}.partial`, name);
  const headers = { 'User-Agent': USER_AGENT, Accept: 'image/*' };
  let bytes: number;
  try {
    bytes = await downloadTo(url, partial, { ...retry, maxBytes, headers, onProgress: undefined });
  } catch (error) {
    if (!(error instanceof NetworkError)) throw error;
    const { message, temporary } = error;
    if (!temporary) await discardPartial(partial);
    return { name, url, status: 'failed', error: message, temporary };
  }
  const image = await decodeImage(partial, url);
  if ('problem' in image) {
    await discardPartial(partial);
    return { name, url, status: 'failed', error: image.problem, temporary: false };
  }
  const file = `${name}.${image.format === 'jpeg' ? 'jpg' : image.format}`;
  const target = join(folder, file);
  await named(target, () => rename(partial, target));
  return { name, url, status: 'stored', file, bytes, ...image };
}

/** Which of the names a folder has an image of that a run can read. */
async function soundNames(folder: string, wanted: ReadonlySet<string>): Promise<Set<string>> {
  const files = (await readdir(folder)).filter((file) => wanted.has(stem(file)));
  const decoded = await mapConcurrent(files, AT_ONCE, (file) => decodeImage(join(folder, file)));
  return new Set(files.filter((_, index) => !('problem' in (decoded[index] as object))).map(stem));
}

/** Downloads of each host, in their order. Addresses that cannot be read share a queue: they fail at once. */
function byHost(downloads: readonly ImageDownload[]): ImageDownload[][] {
  const queues = new Map<string, ImageDownload[]>();
  for (const download of downloads) {
    const host = URL.canParse(download.url) ? new URL(download.url).host : '';
    const queue = queues.get(host) ?? [];
    queues.set(host, queue);
    queue.push(download);
  }
  return [...queues.values()];
}

/** The last record of each name. A last line that an interruption cut off is taken out of the file. */
async function readLog(file: string): Promise<DownloadRecord[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole !== text) await named(file, () => truncate(file, Buffer.byteLength(whole)));
  const records = new Map<string, DownloadRecord>();
  for (const [index, line] of whole.split('\n').slice(0, -1).entries()) {
    try {
      const record = JSON.parse(line) as DownloadRecord;
      records.set(record.name, record);
    } catch (error) {
      throw new DataError(`${file} line ${index + 1} is damaged. Remove the line.`, { cause: error });
    }
  }
  return [...records.values()];
}

const failedForGood = (record: DownloadRecord): record is FailedDownload =>
  record.status === 'failed' && !record.temporary;

function checkNames(downloads: readonly ImageDownload[]): void {
  const names = new Set<string>();
  for (const { name } of downloads) {
    if (!/^[\p{L}\p{N}_-]+$/u.test(name))
      throw new DataError(`"${name}" is no plain file name for an image.`);
    if (names.has(name)) throw new DataError(`Two downloads are named "${name}".`);
    names.add(name);
  }
}
