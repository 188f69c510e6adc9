// What `npm run demo` shows: a first finding in one pair, then the paper's experiment on a few pairs of every task.

import type { Command } from 'commander';
import { measureMatmulRate } from '../../kernels/index.ts';
import { paperConventions } from '../../notice/conventions.ts';
import { sweepRows } from '../../notice/tables/sweep-rows.ts';
import {
  generateWithHooks,
  type Intervention,
  parseSite,
  replace,
  type SiteResult,
  type SweepResult,
  sweep,
} from '../../patching/index.ts';
import { PACKAGE } from '../embedded.ts';
import { type OpenModel, positiveInteger, withModel } from '../options.ts';
import { amount, duration } from '../plan.ts';
import { Preemption } from '../preemption.ts';
import { controlLines, positionLabels, sweepTables } from '../sweep-output.ts';
import { readPair } from '../sweep-pair.ts';
import { parseRun, runWith } from './run.ts';

/** A pair of the embedded data (data/states.csv) in which one patch is enough. */
const PAIR = {
  clean: 'data/states/003_clean.png',
  corrupt: 'data/states/003_corrupt.png',
  prompt: 'is the star blue or orange?',
  correct: 'orange',
  incorrect: 'blue',
};

interface DemoCommandOptions {
  readonly out: string;
  readonly samples: number;
}

export function demoCommand(program: Command): void {
  program
    .command('demo')
    .description(
      "With the embedded model: what one patch does to an answer, then the paper's experiment on few pairs.",
    )
    .option('--out <folder>', 'results folder', 'results')
    .option('--samples <n>', 'samples of each task', positiveInteger, 12)
    .addHelpText('after', '\nExample:\n  notice demo --out results-demo')
    .action(async (options: DemoCommandOptions) => {
      const preemption = new Preemption();
      await demo(options, preemption).finally(() => preemption.stop());
    });
}

async function demo({ out, samples }: DemoCommandOptions, preemption: Preemption): Promise<void> {
  const whole = await parseRun([]);
  const options = await parseRun(['--out', out, '--samples', String(samples)]);
  await withModel(options, async (open) => {
    const { gpu } = open;
    const rate = await measureMatmulRate(gpu);
    console.log(`${gpu.capabilities.description}: ${amount(rate)}FLOP/s in products of matrices\n`);
    await showFirstFinding(open);
    console.log(
      `\nThe same with ${samples} pairs of each of ${options.data.length} tasks, under both corruptions, every module and head:`,
    );
    const started = performance.now();
    await runWith(open, options, preemption);
    const seconds = (performance.now() - started) / 1000;
    console.log(
      `\nA full run takes ${whole.samples} pairs of each task, which makes its confidence intervals ${Math.sqrt(whole.samples / samples).toFixed(1)} times as narrow, ` +
        `and about ${duration((seconds * whole.samples) / samples)} here:\n  npx notice run --out ${out}-full`,
    );
  });
}

/** Two pictures with two answers, which patches turn the second into the first, and what is answered with the best of them. */
async function showFirstFinding({ model, processor }: OpenModel): Promise<void> {
  const reader = await processor();
  const options = { ...PAIR, clean: [PACKAGE + PAIR.clean], corrupt: [PACKAGE + PAIR.corrupt], seed: 0 };
  const { pair, tokens = new Map() } = await readPair(model, processor, options);
  const samples = [pair.clean, pair.corrupt];
  const say = async (...interventions: Intervention[]): Promise<string[]> => {
    const answers = await generateWithHooks(model, samples, { interventions });
    return answers.map(({ ids }) => reader.answer(ids));
  };
  const [clean, corrupt] = await say();
  console.log(`"${PAIR.prompt}"\n  ${PAIR.clean}    ${clean}\n  ${PAIR.corrupt}  ${corrupt}\n`);
  const { headSite: site } = paperConventions(model);
  const positions = [...tokens.keys()];
  const [result] = (await sweep(model, [{ ...pair, sites: [{ site, positions }] }])) as [SweepResult];
  const [effects] = result.sites as [SiteResult];
  const labels = positionLabels(model, pair.clean, tokens);
  for (const text of sweepTables(result, labels)) console.log(`${text}\n`);
  for (const line of controlLines(result)) console.log(line);
  const { layer, position } = strongest(effects);
  const { tower, hook } = parseSite(model, site);
  const patch = `${tower}.blocks.${layer}.${hook}`;
  const [, patched] = await say(
    replace({ hook: patch, run: 1, positions: [position] }, { run: 0, positions: [position] }),
  );
  console.log(`\nThe second picture, with ${patch} of the first at "${tokens.get(position)}":  ${patched}`);
}

/** Where patching restores most of the logit difference. */
function strongest(site: SiteResult): { readonly layer: number; readonly position: number } {
  let best = { layer: 0, position: 0, ld_effect: Number.NEGATIVE_INFINITY };
  for (const { layer, position, ld_effect } of sweepRows(site))
    if (ld_effect > best.ld_effect) best = { layer, position, ld_effect };
  return best;
}
