// The parts in which samples are measured and looked at. A part's results stand under the key of its content, so those of an
// earlier run are used again where nothing that decides them has changed, and nowhere else.

import type { Sample } from '../../models/index.ts';
import { embeddingDeviation } from '../../patching/index.ts';
import type { ChosenPair, Part, RunContext } from './context.ts';
import { partOperations } from './costs.ts';
import { openImage } from './images.ts';
import { contentKey, keyedInputs, rowContent, rowKey } from './keys.ts';
import { KINDS, type PartRecord } from './record.ts';
import { samplesPerPart } from './select.ts';
import { changedSince } from './shards.ts';

/**
 * Cuts the chosen samples into parts. Where a run ends with this, others do the rest, and it says what each part costs.
 *
 * @throws NoticeError('usage') for a shard with parts that it was not cut from
 */
export async function planParts(run: RunContext): Promise<void> {
  const { store, record, shard, until } = run;
  await scaleNoise(run);
  const parts = await plan(run);
  const before = (record.parts ?? []).flatMap(({ name, operations }): [string, number][] =>
    operations === undefined ? [] : [[name, operations]],
  );
  let costs: ReadonlyMap<string, number> = new Map(shard ? before : []);
  if (until === 'select') costs = await partOperations(run, parts, new Map(before));
  const unknown = parts.find(({ name }) => !costs.has(name));
  if (shard && unknown) throw changedSince(shard, `${unknown.task}: ${unknown.samples.join(', ')}`);
  run.parts = parts.map((part) => {
    const operations = costs.get(part.name);
    return operations === undefined ? part : { ...part, operations };
  });
  record.parts = await Promise.all(run.parts.map(recordOf));
  await store.saveRecord(record);
  await adopt(run, run.parts);
}

/** The parts of all tasks, in the order of the samples. */
async function plan(run: RunContext): Promise<Part[]> {
  const { settings, record, tasks, model } = run;
  const { dtype, subgroupMatrices, corruptions, moduleSites, headSite, compat } = settings;
  const { seed, noiseDraws, noiseScale } = settings;
  const inputs = keyedInputs(record.inputs);
  const base = [inputs, record.look, dtype, subgroupMatrices, moduleSites, headSite, compat];
  const parts: Part[] = [];
  const size = samplesPerPart(model);
  let place = 0;
  for (const [i, { input, chosen }] of tasks.entries()) {
    const { task } = input;
    const deviation = record.tasks[i]?.noise?.deviation ?? 0;
    for (let first = 0; first < chosen.length; first += size) {
      const own = chosen.slice(first, first + size);
      const samples = own.map(({ pair }) => pair.id);
      const content = [base, task, own.map(contentOf)];
      const name = (kind: string, key: string) => `${String(place + first).padStart(7, '0')}-${kind}${key}`;
      const semantic = corruptions.filter((corruption) => corruption !== 'noise');
      const part = { task, samples, chosen: own, deviation };
      parts.push({ ...part, name: name('', await contentKey([content, semantic])) });
      if (!corruptions.includes('noise')) continue;
      const key = await contentKey([content, seed, noiseDraws, noiseScale, deviation]);
      parts.push({ ...part, name: name('noise-', key), noise: true });
    }
    place += chosen.length;
  }
  return parts;
}

/** All of a sample that decides its measurements. */
function contentOf({ pair, digests, answer }: ChosenPair): unknown {
  return [...rowContent(pair), answer, Object.values(digests)];
}

async function recordOf({ name, task, samples, chosen, noise, operations }: Part): Promise<PartRecord> {
  const cost = operations === undefined ? {} : { operations };
  if (noise) return { name, task, samples, noise, ...cost };
  const images = chosen.map(({ digests }) => digests.clean);
  const rows = await Promise.all(chosen.map(({ pair }) => rowKey(pair)));
  return { name, task, samples, images, rows, ...cost };
}

/** Gives results of the same content that stand at another place their new names. */
async function adopt({ store }: RunContext, parts: readonly Part[]): Promise<void> {
  const keyOf = (name: string) => name.slice(name.indexOf('-'));
  const wanted = new Set(parts.map(({ name }) => name));
  const byKey = new Map(parts.map(({ name }) => [keyOf(name), name]));
  for (const kind of [...KINDS].reverse()) {
    const found = new Set(await store.parts(kind));
    for (const name of found) {
      const now = byKey.get(keyOf(name));
      if (now && !wanted.has(name) && !found.has(now)) await store.renamePart(kind, name, now);
    }
  }
}

/** Finds out what every task's noise is in proportion to: the embeddings of all images of its samples. */
async function scaleNoise(run: RunContext): Promise<void> {
  const { settings, record, tasks, store } = run;
  if (!settings.corruptions.includes('noise')) return;
  for (const [i, { chosen }] of tasks.entries()) {
    const known = record.tasks[i];
    if (!known) continue;
    const inputs = keyedInputs(record.inputs);
    const key = await contentKey([inputs, settings.dtype, chosen.map(({ digests }) => digests.clean)]);
    if (known.noise?.key === key) continue;
    const noise = { deviation: await embeddingDeviation(run.model, cleanSamples(run, chosen)), key };
    record.tasks = record.tasks.map((task, at) => (at === i ? { ...task, noise } : task));
    await store.saveRecord(record);
  }
}

/** The samples with their clean images, some at a time. */
async function* cleanSamples(
  { model, processor, reader, signal }: RunContext,
  chosen: readonly ChosenPair[],
): AsyncGenerator<Sample[]> {
  const size = samplesPerPart(model);
  for (let first = 0; first < chosen.length; first += size) {
    signal?.throwIfAborted();
    yield Promise.all(
      chosen.slice(first, first + size).map(async ({ pair, digests }) => {
        const { image } = await openImage(reader, pair.cleanImage, digests.clean);
        return processor.sample(image, pair.cleanPrompt, pair.cleanImage);
      }),
    );
  }
}
