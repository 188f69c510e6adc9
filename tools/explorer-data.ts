// What the explorer knows before it has loaded a model: which pairs the embedded data has; the model and the pair that it
// opens with, by the page's own code, and that pair's maps as `notice sweep` measures them.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadModel, Processor } from '../src/models/index.ts';
import { parseManifest } from '../src/notice/datasets/index.ts';
import { readImageFile } from '../src/platform/node/images.ts';
import { decodeImage, fileSource, nodeFolder, openGpu } from '../src/platform/node/index.ts';
import { modelInfo } from '../src/web/engine/model-info.ts';
import { CLEAN, prepareRuns } from '../src/web/engine/pair.ts';
import { FIRST_MODEL, FIRST_PAIR } from '../src/web/first-pair.ts';
import type { EmbeddedPair } from '../src/web/protocol/embedded.ts';
import type { FirstMap, FirstPage } from '../src/web/protocol/first.ts';
import type { CorruptionName, ModelInfo, PairText, Picture } from '../src/web/protocol/session.ts';
import { asFloat32, readTensors } from '../src/weights/index.ts';

const root = join(import.meta.dirname, '..');
const model = join(root, 'weights', FIRST_MODEL);
/** Raised when the same inputs give other numbers. */
const VERSION = 1;

/** The page's data/pairs.json. */
export async function embeddedPairs(): Promise<string> {
  const data = join(root, 'data');
  const tables = (await readdir(data)).filter((file) => file.endsWith('.csv')).sort();
  const pairs: EmbeddedPair[] = [];
  for (const table of tables) {
    const { rows } = parseManifest(await readFile(join(data, table), 'utf8'), table);
    pairs.push(
      ...rows.map(({ pair }) => ({
        id: pair.cleanImage.replace('_clean.png', ''),
        category: pair.category,
        clean: pair.cleanImage,
        corrupt: pair.corruptImage,
        question: pair.cleanPrompt,
        corruptQuestion: pair.corruptPrompt,
        correct: pair.correct,
        incorrect: pair.incorrect,
      })),
    );
  }
  return JSON.stringify(pairs);
}

/** The page's first.json; computed once for a model and a pair. */
export async function firstPage(): Promise<string> {
  const cached = join(root, '.cache', `explorer-${await digest()}.json`);
  const known = await readFile(cached, 'utf8').catch(() => undefined);
  if (known) return known;
  const { info, pair } = await describe();
  const maps: FirstMap[] = [];
  for (const corruption of ['image', 'text'] as const) {
    const modules = await sweep(corruption, info.moduleSites, pair, false);
    maps.push(...modules, ...(await sweep(corruption, [info.headSite], pair, true)));
  }
  const page: FirstPage = { model: info, pair, maps };
  const text = JSON.stringify(page);
  await mkdir(join(root, '.cache'), { recursive: true });
  await writeFile(cached, text);
  return text;
}

async function digest(): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([VERSION, FIRST_MODEL, FIRST_PAIR]));
  for (const file of (await readdir(model)).sort()) hash.update(await readFile(join(model, file)));
  for (const picture of pictures()) hash.update(await readFile(picture));
  return hash.digest('hex').slice(0, 16);
}

/** The clean and the corrupt picture. */
function pictures(): [string, string] {
  const { clean, image } = FIRST_PAIR;
  if (image.kind !== 'picture') throw new Error('the first pair has two pictures');
  const path = (picture: Picture) => {
    if (picture.kind !== 'embedded') throw new Error('the first pair is one of the embedded data');
    return join(root, 'data', picture.path);
  };
  return [path(clean), path(image.picture)];
}

async function describe(): Promise<{ info: ModelInfo; pair: PairText }> {
  const [clean, corrupt] = pictures();
  const gpu = await openGpu();
  try {
    const source = nodeFolder(model);
    const loaded = await loadModel(gpu, source);
    const processor = await Processor.load(loaded, source);
    const info = modelInfo(loaded, { model: { kind: 'embedded', name: FIRST_MODEL } });
    const { info: pair } = await prepareRuns({ model: loaded, processor, source, info }, FIRST_PAIR, {
      read: (path) => readImageFile(path === CLEAN ? clean : corrupt),
      decode: decodeImage,
    });
    return { info, pair };
  } finally {
    gpu.destroy();
  }
}

/** Heads are patched at the tokens of the correct option, modules at every token. */
async function sweep(
  corruption: CorruptionName,
  sites: readonly string[],
  { answerPositions, tokens }: PairText,
  heads: boolean,
): Promise<FirstMap[]> {
  if (heads && answerPositions.length !== 1)
    throw new Error(
      `"notice sweep" patches heads position by position, the option has ${answerPositions.length}`,
    );
  const positions = heads ? [...answerPositions] : tokens.map(({ position }) => position);
  const folder = await mkdtemp(join(tmpdir(), 'notice-first-'));
  const out = join(folder, 'sweep.safetensors');
  const [clean, corrupt] = pictures();
  const { question, correct, incorrect, corruptQuestion = '' } = FIRST_PAIR;
  try {
    await promisify(execFile)(process.execPath, [
      join(root, 'bin/notice.mjs'),
      'sweep',
      ...['--model', model, '--clean', clean, '--prompt', question],
      ...['--correct', correct, '--incorrect', incorrect],
      ...(corruption === 'image' ? ['--corrupt', corrupt] : ['--corrupt-prompt', corruptQuestion]),
      ...['--sites', sites.join(','), '--positions', positions.join(','), '--out', out],
      ...(heads ? ['--heads'] : []),
    ]);
    const tensors = await readTensors(await fileSource(out));
    return sites.map((site) => {
      const tensor = tensors.get(`sweep/${site}`);
      const [layers = 0, second = 0] = tensor?.shape ?? [];
      if (!tensor) throw new Error(`${out} has no sweep/${site}`);
      return {
        corruption,
        site,
        layers: Array.from({ length: layers }, (_, layer) => layer),
        heads: heads ? second : undefined,
        positions: positions.map((position) => [position]),
        data: Array.from(asFloat32(tensor, site), (value) =>
          Number.isFinite(value) ? Number(value.toPrecision(8)) : null,
        ),
      };
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
