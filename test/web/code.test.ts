// "Copy as code": programs that run in Node as they are, and print what the page's own code computes.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { paintOver } from '../../src/inputs/index.ts';
import { loadModel, Processor } from '../../src/models/index.ts';
import { patchPair } from '../../src/patching/index.ts';
import { decodeImage, readImageFile } from '../../src/platform/node/images.ts';
import { nodeFolder } from '../../src/platform/node/index.ts';
import { firstToken } from '../../src/web/engine/first-token.ts';
import { pinnedInterventions } from '../../src/web/engine/interventions.ts';
import { modelInfo } from '../../src/web/engine/model-info.ts';
import { CLEAN, CORRUPT, prepareRuns, runsOf } from '../../src/web/engine/pair.ts';
import type { OpenModel } from '../../src/web/engine/session.ts';
import { FIRST_PAIR } from '../../src/web/first-pair.ts';
import { pinsThere } from '../../src/web/pin-places.ts';
import type { EditPin, Pin } from '../../src/web/protocol/pins.ts';
import type { CorruptionName, PairSpec, Picture } from '../../src/web/protocol/session.ts';
import { experimentYaml } from '../../src/web/state/bundle.ts';
import { type PinnedPair, programOf } from '../../src/web/state/code.ts';
import { notice, ROOT } from '../cli/support.ts';
import { testGpu } from '../support/gpu.ts';
import { LONG } from '../support/long.ts';
import { runProgram, usePackageFolder } from './program.ts';

/** Programs print six digits, of numbers that have the same bits: the same calls on the same adapter. */
const DIGITS = 6;

const folder = usePackageFolder();

async function open(name: string): Promise<OpenModel> {
  const source = nodeFolder(join(ROOT, 'weights', name));
  const model = await loadModel(await testGpu(), source);
  const processor = await Processor.load(model, source);
  return { model, processor, source, info: modelInfo(model, { model: { kind: 'embedded', name } }) };
}

function pathOf(picture: Picture): string {
  return picture.kind === 'embedded' ? join(ROOT, 'data', picture.path) : picture.name;
}

const prepare = (opened: OpenModel, spec: PairSpec) =>
  prepareRuns(opened, spec, {
    read: (path) =>
      readImageFile(
        pathOf(path === CLEAN || spec.image.kind !== 'picture' ? spec.clean : spec.image.picture),
      ),
    decode: async (bytes, name) => {
      const picture = await decodeImage(bytes, name);
      const painted = name === CORRUPT && spec.image.kind === 'painted';
      return painted ? paintOver(picture, spec.image.boxes) : picture;
    },
  });

/** What the page shows: numbers of the clean, the corrupt and the patched run. */
async function shown(
  { model, processor }: OpenModel,
  prepared: Awaited<ReturnType<typeof prepare>>,
  corruption: CorruptionName,
  pins: readonly Pin[],
) {
  const runs = runsOf(prepared, corruption);
  const logits = await patchPair(model, runs, await pinnedInterventions(model, runs, pins));
  return (['clean', 'corrupt', 'patched'] as const).map((run) => {
    const { pCorrect, pIncorrect, logitDifference } = firstToken(processor, logits[run], runs);
    return [run, pCorrect, pIncorrect, logitDifference] as const;
  });
}

function expectShown(
  runs: Map<string, number[]>,
  { id }: PairSpec,
  numbers: Awaited<ReturnType<typeof shown>>,
): void {
  for (const [run, ...expected] of numbers) {
    const found = runs.get(`${id} ${run}`);
    expected.forEach((value, i) => {
      expect(found?.[i], `${id} ${run} ${i}`).toBeCloseTo(value, DIGITS);
    });
  }
}

/** Its options stand the other way round, so positions of the options differ from the first pair's. */
const OTHER: PairSpec = {
  id: 'scenes/004',
  clean: { kind: 'embedded', path: 'scenes/004_clean.png' },
  image: { kind: 'picture', picture: { kind: 'embedded', path: 'scenes/004_corrupt.png' } },
  question: 'is the ring inside or above the star?',
  correct: 'above',
  incorrect: 'inside',
  corruptQuestion: 'is the ring beside or below the star?',
};

test('a program does all kinds of pins on several pairs, and sums them up', async () => {
  const opened = await open('blip-shapes');
  const first = await prepare(opened, FIRST_PAIR);
  const other = await prepare(opened, OTHER);
  const at = first.info.answerPositions;
  const edit = (pin: Omit<EditPin, 'kind' | 'id' | 'on'>): Pin => ({ kind: 'edit', id: 1, on: true, ...pin });
  const block = (layer: number, rest: string) => `text_encoder.blocks.${layer}.${rest}`;
  const pins: Pin[] = [
    edit({
      hooks: [block(2, 'cross_attn.hook_z'), block(3, 'cross_attn.hook_z')],
      heads: [1],
      positions: at,
      operation: { kind: 'replace' },
    }),
    edit({ hooks: [block(0, 'hook_mlp_out')], operation: { kind: 'scale', factor: 0.5 } }),
    edit({
      hooks: [block(1, 'attn.hook_z')],
      positions: at,
      operation: { kind: 'interpolate', share: 0.25 },
    }),
    edit({
      hooks: [block(1, 'hook_cross_attn_out')],
      positions: at,
      operation: { kind: 'add', factor: -0.5 },
    }),
    edit({ hooks: [block(2, 'hook_mlp_out')], positions: at, operation: { kind: 'mean' } }),
    edit({ hooks: [block(3, 'attn.hook_z')], heads: [0, 2], operation: { kind: 'zero' } }),
    { kind: 'patches', id: 2, on: true, patches: [0, 1, 9], operation: 'mean' },
    { kind: 'patches', id: 3, on: true, patches: [27, 28], operation: 'restore' },
    { kind: 'patches', id: 4, on: true, patches: [63], operation: 'zero' },
  ];
  const moved = pinsThere(pins, first.info.tokens, other.info.tokens, opened.model.promptTower) as Pin[];
  const others: PinnedPair[] = [{ spec: OTHER, pins: moved }];
  const program = programOf({
    model: opened.info,
    corruption: 'image',
    pair: { spec: FIRST_PAIR, pins },
    others,
    shown: ['patched:\n*/ console.log("not a comment")'],
  });
  const { runs, lines } = await runProgram(folder.path, program);
  expectShown(runs, FIRST_PAIR, await shown(opened, first, 'image', pins));
  const numbers = await shown(opened, other, 'image', moved);
  expectShown(runs, OTHER, numbers);
  const [, [, , , before], [, , , after]] = numbers as [unknown, (typeof numbers)[0], (typeof numbers)[0]];
  expect(lines.at(-1)).toMatch(/^1 pairs, LD′ − LD\*: mean /);
  expect(Number(/mean (\S+),/.exec(lines.at(-1) ?? '')?.[1])).toBeCloseTo(after - before, DIGITS);
  opened.model.destroy();
});

test.runIf(LONG).each([
  ['llava-shapes', 'text', FIRST_PAIR.image],
  ['smolvlm-shapes', 'image', { kind: 'noise', scale: 3, seed: 4 }],
  ['smolvlm-shapes', 'image', { kind: 'painted', boxes: [[10, 20, 60, 70]] }],
] as const)('a program for %s, %s corruption', async (name, corruption, image) => {
  const opened = await open(name);
  const spec: PairSpec = { ...FIRST_PAIR, image };
  const prepared = await prepare(opened, spec);
  const pins: Pin[] = [
    {
      kind: 'edit',
      id: 1,
      on: true,
      hooks: ['language.blocks.1.attn.hook_z', 'language.blocks.2.hook_mlp_out'],
      positions: prepared.info.answerPositions,
      operation: { kind: 'replace' },
    },
  ];
  const program = programOf({ model: opened.info, corruption, pair: { spec, pins } });
  const { runs } = await runProgram(folder.path, program);
  expectShown(runs, spec, await shown(opened, prepared, corruption, pins));
  opened.model.destroy();
});

test('the experiment is one that notice run reads', async () => {
  const opened = await open('blip-shapes');
  const { info } = opened;
  const file = join(folder.path, 'experiment.yaml');
  await writeFile(file, experimentYaml({ model: info, spec: FIRST_PAIR, sites: info.moduleSites }));
  // A few questions of it.
  const args = ['run', '--config', file, '--until', 'evaluate', '--shard', '1/60'];
  const { status, stderr } = await notice(args);
  expect(status, stderr).toBe(0);
  opened.model.destroy();
});
