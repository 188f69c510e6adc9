// The parts in which samples are measured and looked at. A part's results stand under the key of its content, so those of an
// earlier run are used again where nothing that decides them has changed, and nowhere else.

import type { Sample, VisionLanguageModel } from '../../models/index.ts';
import { embeddingDeviation, planSweep } from '../../patching/index.ts';
import { saveAttention } from './attention.ts';
import { alone, type ChosenPair, type Part, type RunContext } from './context.ts';
import { openImage } from './images.ts';
import { contentKey, keyedInputs, rowContent, rowKey } from './keys.ts';
import { type Measurement, measure, measurements } from './measure.ts';
import { type PreparedPair, preparePair } from './prepare.ts';
import { KINDS, type PartKind, type PartRecord, partsWith } from './record.ts';
import { samplesPerPart } from './select.ts';

/** The run's stage: sweeps of this shard's parts. */
export async function measureParts(run: RunContext): Promise<void> {
  const { settings, store, model, record } = run;
  await alone(run, async () => {
    await scaleNoise(run);
    run.parts = await plan(run);
    record.parts = await Promise.all(run.parts.map(recordOf));
    await store.saveRecord(record);
    await adopt(run, run.parts);
  });
  let first = true;
  /** Operations of a part: planned of the first, then those of the part before, which are much the same. */
  let expected: number | undefined;
  await workOff(run, 'measure', ofShard(run, run.parts), ['cells', 'controls'], async (part, onShare) => {
    const prepared = await prepareAll(run, part);
    const corruptions = settings.corruptions.filter((name) => (name === 'noise') === (part.noise ?? false));
    const list = prepared.flatMap((one) =>
      measurements(model, { ...settings, corruptions }, part.task, one, part.deviation),
    );
    // One cell of the first part is repeated by itself; every part has all other controls.
    const total = expected ?? (await planned(model, list));
    let done = 0;
    model.gpu.onWork((more) => {
      done += more;
      onShare(Math.min(1, done / total));
    });
    const { rows, controls } = await measure(model, settings, list, first ? 1 : 0).finally(() =>
      model.gpu.onWork(undefined),
    );
    first = false;
    expected = done;
    await store.writeCells(part.name, rows, controls);
  });
}

async function planned(model: VisionLanguageModel, list: readonly Measurement[]): Promise<number> {
  const { flops } = await planSweep(
    model,
    list.map(({ job }) => job),
  );
  return flops;
}

/** The run's stage: where every head looks, in this shard's parts. */
export async function lookAtParts(run: RunContext): Promise<void> {
  const { store, model, record } = run;
  const own = ofShard(run, run.parts).filter(({ noise }) => !noise);
  await workOff(run, 'attention', own, ['attention'], async (part) => {
    const prepared = await prepareAll(run, part);
    await store.writeAttention(part.name, await saveAttention(model, prepared, record.look ?? 'answer'));
  });
}

/**
 * Works on the parts that have no results of some kinds: first on those that no other process is at, then on what these
 * processes left. `work` tells what share of a part is done.
 */
async function workOff(
  { store, onProgress, log, signal }: RunContext,
  step: 'measure' | 'attention',
  parts: readonly Part[],
  kinds: readonly PartKind[],
  work: (part: Part, onShare: (share: number) => void) => Promise<void>,
): Promise<void> {
  const holds = async ({ name }: Part, onDamage?: (what: string) => void): Promise<boolean> => {
    const held: boolean[] = [];
    for (const kind of kinds) held.push(await store.holds(kind, name, onDamage));
    return !held.includes(false);
  };
  const wait = (owner: string) => log(`waits for ${owner}, which is at the last of the parts (${step})`);
  let done = 0;
  let open = parts;
  for (const busy of ['skip', wait] as const) {
    const left: Part[] = [];
    for (const part of open) {
      signal?.throwIfAborted();
      onProgress(step, part.task, done, parts.length);
      const once = async () => {
        if (!(await holds(part, (what) => log(`${what}: it is computed anew.`))))
          await work(part, (share) => onProgress(step, part.task, done + share, parts.length));
      };
      if ((await holds(part)) || (await store.claim(`${step}-${part.name}`, once, busy, signal)))
        onProgress(step, part.task, ++done, parts.length);
      else left.push(part);
    }
    open = left;
  }
}

/** Whether the results of all parts are there; then what is not among them goes. */
export async function isComplete({ store, record: { parts = [] } }: RunContext): Promise<boolean> {
  const wanted = new Map(KINDS.map((kind) => [kind, new Set(partsWith(kind, parts))]));
  for (const [kind, names] of wanted)
    for (const name of names) if (!(await store.holds(kind, name))) return false;
  await store.keepOnly(wanted);
  return true;
}

/** Parts of every n-th group of samples; the same samples' noise goes with them. */
function ofShard({ shard = { index: 1, count: 1 } }: RunContext, parts: readonly Part[]): Part[] {
  const groups = [...new Set(parts.map(({ name }) => placeOf(name)))];
  return parts.filter(({ name }) => groups.indexOf(placeOf(name)) % shard.count === shard.index - 1);
}

const placeOf = (name: string): string => name.slice(0, name.indexOf('-'));

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

async function recordOf({ name, task, samples, chosen, noise }: Part): Promise<PartRecord> {
  if (noise) return { name, task, samples, noise };
  const images = chosen.map(({ digests }) => digests.clean);
  const rows = await Promise.all(chosen.map(({ pair }) => rowKey(pair)));
  return { name, task, samples, images, rows };
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

function prepareAll(
  { model, processor, reader, settings }: RunContext,
  { chosen }: Part,
): Promise<PreparedPair[]> {
  return Promise.all(
    chosen.map(({ pair, answer, generated, digests }) =>
      preparePair(model, processor, pair, { answer, compat: settings.compat, reader, generated, digests }),
    ),
  );
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
