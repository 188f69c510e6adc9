// Disks that are full, read-only or broken after a drawn number of bytes, under all that writes: a run, a report, a merge, a
// pull, downloads, a data set, tensors. Each ends with an error that names a file, leaves nothing half-written under a
// final name, and, when the disk is sound again, goes on to what an undisturbed one gives.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { writeTensors } from '../../src/cli/tensors.ts';
import { NoticeError } from '../../src/errors.ts';
import { loadModel, Processor, type VisionLanguageModel } from '../../src/models/index.ts';
import { downloadImages, readManifest, writeManifest } from '../../src/notice/datasets/index.ts';
import { readInputs } from '../../src/notice/experiment/inputs.ts';
import { mergeResults } from '../../src/notice/experiment/merge.ts';
import { newRecord, ResultsFolder } from '../../src/notice/experiment/results.ts';
import { runExperiment } from '../../src/notice/experiment/run.ts';
import { defaultSites, type ExperimentSettings } from '../../src/notice/experiment/settings.ts';
import { writeResults } from '../../src/notice/report/write.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { pullModel } from '../../src/platform/node/hub/index.ts';
import { smallManifest } from '../cli/support.ts';
import { type Files, hub } from '../hub/hub.ts';
import { sendFile, serve } from '../hub/server.ts';
import { type DiskFault, failAfter } from '../support/failing-disk.ts';
import { testGpu } from '../support/gpu.ts';
import { LONG, long } from '../support/long.ts';
import { Random } from '../support/random.ts';
import { filesOf } from '../support/results.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SHAPES = `${ROOT}weights/blip-shapes`;
/** Longer than any work here takes, in ms. */
const PATIENCE = 60_000;

let scratch: string;
let model: VisionLanguageModel;
let processor: Processor;
let settings: ExperimentSettings;
/** A results folder of an undisturbed run. */
let sound: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'notice-disk-'));
  const source = nodeFolder(SHAPES);
  model = await loadModel(await testGpu(), source);
  processor = await Processor.load(model, source);
  await smallManifest(scratch, 'faces', 8);
  settings = {
    ...{ model: SHAPES, data: [join(scratch, 'faces.csv')], samples: 2, select: 'balanced', seed: 0 },
    ...{ corruptions: ['sip'], ...defaultSites(model), moduleSites: [], statistic: 'absolute', compat: [] },
    ...{ noiseDraws: 1, noiseScale: 3, template: undefined },
  };
  sound = join(scratch, 'sound');
  await experiment(sound);
});
afterAll(async () => {
  model.destroy();
  await rm(scratch, { recursive: true, force: true });
});

async function experiment(out: string): Promise<void> {
  const details = { version: 'test', model: { family: '', weightBytes: 0, towers: [] }, adapter: 'test' };
  const { folder, record } = await ResultsFolder.open(out, () => newRecord(settings, details));
  const inputs = await readInputs(settings);
  await runExperiment(settings, folder, record, { ...inputs, model, modelDigest: 'test', processor });
}

const FILES: Files = {
  'config.json': Buffer.from('{"model_type":"blip"}'),
  'model.safetensors': Buffer.alloc(300_000, 'weights '),
  'tokenizer.json': Buffer.from('{"version":"1.0"}'),
};
const NAMES = ['one', 'two', 'three'];

interface Writing {
  /** What is there before the disk fails. */
  readonly prepare?: (folder: string) => Promise<unknown>;
  /** Writes below a folder what is not there yet. */
  readonly work: (folder: string) => Promise<unknown>;
}

const WRITINGS: Readonly<Record<string, Writing>> = {
  run: { work: experiment },
  report: {
    prepare: (folder) => cp(sound, folder, { recursive: true }),
    work: async (folder) => {
      const { folder: results, record } = await ResultsFolder.existing(folder);
      await writeResults(results, record);
    },
  },
  merge: { work: (folder) => mergeResults([sound], folder) },
  pull: {
    work: async (folder) => {
      const { url } = await server('pull', () => hub(FILES));
      await pullModel('org/tiny', { endpoint: url, cacheDir: folder, pauseMs: 1, attempts: 2 });
    },
  },
  images: {
    work: async (folder) => {
      const { url } = await server('images', async () => {
        const raw = { width: 60, height: 40, channels: 3 } as const;
        const pixels = Buffer.from(new Random(1).vector(7200, { centre: 128, spread: 127 }));
        const png = await sharp(pixels, { raw }).png().toBuffer();
        return serve((request, response) => sendFile(request, response, png));
      });
      const downloads = NAMES.map((name) => ({ name, url: `${url}/${name}` }));
      await downloadImages(downloads, { folder: join(folder, 'images'), hostPauseMs: 0, pauseMs: 1 });
    },
  },
  data: {
    prepare: (folder) => cp(join(scratch, 'faces'), join(folder, 'faces'), { recursive: true }),
    work: async (folder) => {
      const { pairs } = await readManifest(join(scratch, 'faces.csv'));
      const inFolder = (image: string) => join(folder, 'faces', basename(image));
      const own = pairs.map((pair) => ({
        ...pair,
        cleanImage: inFolder(pair.cleanImage),
        corruptImage: inFolder(pair.corruptImage),
      }));
      await writeManifest(join(folder, 'data.csv'), own);
    },
  },
  tensors: {
    work: (folder) => {
      const data = () => new Float32Array(10_000).fill(2);
      return writeTensors(
        join(folder, 'a/out.safetensors'),
        NAMES.map((name) => ({ name, shape: [10_000], data })),
      );
    },
  },
};
const KINDS = Object.keys(WRITINGS);

/** One server for all draws of a test. */
const servers = new Map<string, Promise<{ url: string }>>();
function server(name: string, begin: () => Promise<{ url: string }>): Promise<{ url: string }> {
  const running = servers.get(name) ?? begin();
  servers.set(name, running);
  return running;
}

/** What of a folder is whole, or should be: without what waits to be, claims, logs, and the report, which says when it was made. */
const UNFINISHED =
  /\.tmp$|\.incomplete$|\.validator$|\.partial\/|(^|\/)claims\/|\.claim$|\.downloads\.jsonl$|^report\.html$/;

async function finished(folder: string): Promise<Record<string, unknown>> {
  const files = await filesOf(folder).catch(() => ({}));
  return Object.fromEntries(Object.entries(files).filter(([name]) => !UNFINISHED.test(name)));
}

/** A fresh folder in which a work can begin. */
async function begin(kind: string, folder = join(scratch, 'draw')): Promise<string> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await WRITINGS[kind]?.prepare?.(folder);
  return folder;
}

/** How a work ended: its error, if it threw one. Fails if it never does. */
async function end(kind: string, folder: string): Promise<unknown> {
  let timeout: NodeJS.Timeout | undefined;
  const hangs = new Promise((_, reject) => {
    timeout = setTimeout(() => reject(new Error(`${kind} hangs`)), PATIENCE);
  });
  const ended = (WRITINGS[kind] as Writing).work(folder).then(
    () => undefined,
    (error: unknown) => error,
  );
  return Promise.race([ended, hangs]).finally(() => clearTimeout(timeout));
}

/** Files under final names are those of an undisturbed work, whole; run.json and answers, which grow, are sound. */
async function expectNothingWrong(
  folder: string,
  expected: Record<string, unknown>,
  what: string,
): Promise<void> {
  for (const [name, digest] of Object.entries(await finished(folder))) {
    if (name === 'run.json') await ResultsFolder.existing(folder);
    else if (name.startsWith('evaluation/')) {
      const { folder: results } = await ResultsFolder.existing(folder);
      expect((await results.answers('faces'))?.damaged, what).toBe(false);
    } else expect(digest, `${what}: ${name}`).toBe(expected[name]);
  }
  const report = await readFile(join(folder, 'report.html'), 'utf8').catch(() => '</html>\n');
  expect(report.endsWith('</html>\n'), what).toBe(true);
}

/** When the files of measurements were made. */
async function measured(folder: string): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  // A file counts when its checksum is there.
  const sums = new Set(await readdir(join(folder, 'checksums')).catch(() => []));
  for (const kind of ['cells', 'attention'])
    for (const file of await readdir(join(folder, kind)).catch(() => []))
      if (sums.has(`${file}.sha256`)) found.set(file, (await stat(join(folder, kind, file))).ino);
  return found;
}

interface Whole {
  readonly bytes: number;
  readonly files: Record<string, unknown>;
}

const wholes = new Map<string, Whole>();

/** What an undisturbed work writes, and how many bytes. */
async function wholeOf(kind: string): Promise<Whole> {
  const known = wholes.get(kind);
  if (known) return known;
  const folder = await begin(kind);
  const disk = failAfter(folder, Number.POSITIVE_INFINITY, 'EIO');
  const error = await end(kind, folder).finally(() => disk.heal());
  expect(error, kind).toBeUndefined();
  expect(disk.written, kind).toBeGreaterThan(500);
  const whole = { bytes: disk.written, files: await finished(folder) };
  wholes.set(kind, whole);
  return whole;
}

beforeEach(() => servers.clear());

test.each<[DiskFault, string, number]>([
  ['ENOSPC', 'full', 0],
  ['EROFS', 'read-only', 4],
  ['EIO', 'broken', 8],
])(
  '%s: a disk that is %s after a while',
  async (code, _, first) => {
    const random = new Random(first);
    const counts = { draws: 0, completed: 0, 'typed error': 0, resumed: 0 };
    for (let draw = 0; draw < long(4, 100); draw++) {
      const kind = KINDS[(first + draw) % KINDS.length] as string;
      const whole = await wholeOf(kind);
      const bytes = Math.floor(whole.bytes * random.next());
      const what = `draw ${draw}: ${kind}, ${code} after ${bytes} of ${whole.bytes} bytes`;
      const folder = await begin(kind);
      const disk = failAfter(folder, bytes, code);
      const error = await end(kind, folder).finally(() => disk.heal());
      counts.draws++;
      counts[error === undefined ? 'completed' : 'typed error']++;
      if (error !== undefined) {
        expect(error, what).toBeInstanceOf(NoticeError);
        const { code: word, message } = error as NoticeError;
        expect(word, `${what}: ${message}`).toBe('file');
        expect(message, what).toContain(`${folder}/`);
        expect(message, what).toContain(code);
        expect(message, what).not.toContain('.tmp cannot');
      }
      await expectNothingWrong(folder, whole.files, what);
      const left = Object.keys(await filesOf(folder));
      // What a read-only disk keeps nobody can take away.
      if (code !== 'EROFS')
        expect(
          left.filter((name) => /\.tmp$|claim/.test(name)),
          what,
        ).toEqual([]);
      for (const name of left) if (/claim/.test(name)) await rm(join(folder, name));
      const kept = await measured(folder);
      if (error !== undefined && left.length > 0) counts.resumed++;
      expect(await end(kind, folder), `${what}, again`).toBeUndefined();
      expect(await finished(folder), what).toEqual(whole.files);
      // What was measured is not measured again.
      const now = await measured(folder);
      for (const [file, made] of kind === 'run' ? kept : [])
        expect(now.get(file), `${what}: ${file}`).toBe(made);
    }
    if (LONG) console.log(code, JSON.stringify(counts));
  },
  3_600_000,
);

/** Whether this user may mount file systems. */
function mayMount(): boolean {
  const place = mkdtempSync(join(tmpdir(), 'notice-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', place], { stdio: 'ignore' });
    execFileSync('umount', [place], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  } finally {
    rmdirSync(place);
  }
}

test.skipIf(!mayMount())(
  'a small tmpfs, full or read-only (where this user may mount one)',
  async () => {
    const random = new Random(40);
    const folder = join(scratch, 'tmpfs');
    await mkdir(folder);
    const remount = (options: string) =>
      execFileSync('mount', ['-o', `remount,${options}`, folder], { stdio: 'ignore' });
    const counts = { draws: 0, completed: 0, 'typed error': 0 };
    for (let draw = 0; draw < long(2, 100); draw++) {
      const kind = KINDS[draw % KINDS.length] as string;
      const whole = await wholeOf(kind);
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'none', folder]);
      try {
        await WRITINGS[kind]?.prepare?.(folder);
        const { blocks, bfree, bsize } = await statfs(folder);
        const readOnly = random.next() < 0.2;
        const room = Math.ceil((whole.bytes * random.next()) / bsize);
        const what = `draw ${draw}: ${kind}, ${readOnly ? 'read-only' : `room for ${room} pages`}`;
        remount(readOnly ? 'ro' : `size=${(blocks - bfree + room) * bsize}`);
        const error = await end(kind, folder);
        counts.draws++;
        counts[error === undefined ? 'completed' : 'typed error']++;
        if (error !== undefined) {
          expect(error, what).toBeInstanceOf(NoticeError);
          expect((error as NoticeError).message, what).toContain(folder);
          // A pull asks for the room before.
          expect(['file', ...(kind === 'pull' ? ['usage'] : [])], what).toContain(
            (error as NoticeError).code,
          );
        } else expect(readOnly, what).toBe(false);
        await expectNothingWrong(folder, whole.files, what);
        expect(
          Object.keys(await filesOf(folder)).filter((name) => name.endsWith('.tmp')),
          what,
        ).toEqual([]);
        remount('rw,size=64m');
        expect(await end(kind, folder), `${what}, again`).toBeUndefined();
        expect(await finished(folder), what).toEqual(whole.files);
      } finally {
        execFileSync('umount', [folder]);
      }
    }
    if (LONG) console.log('tmpfs', JSON.stringify(counts));
  },
  3_600_000,
);
