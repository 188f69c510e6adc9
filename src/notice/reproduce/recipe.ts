// The paper's experiment as settings of `notice run`, and what must be there before it can begin.

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { NoticeError } from '../../errors.ts';
import { resolveModel } from '../../platform/node/hub/index.ts';
import { readManifest } from '../datasets/index.ts';

/** A data set of the paper (section 3, Appendix B). */
export interface PaperTask {
  /** Of the manifest: `{name}.csv`. */
  readonly name: string;
  readonly title: string;
  /** Commands that make the manifest, for a model and a folder. */
  readonly commands: (model: string, folder: string) => readonly string[];
}

export const PAPER_TASKS: readonly PaperTask[] = [
  {
    name: 'svo-probes',
    title: 'SVO-Probes',
    commands: (model, folder) => [
      `notice data svo-download --csv svo_probes.csv --images ${folder}/svo-probes`,
      `notice data svo-probes --csv svo_probes.csv --images ${folder}/svo-probes --out ${folder}/svo-probes.csv --tokenizer ${model}`,
    ],
  },
  {
    name: 'mit-states',
    title: 'MIT-States',
    commands: (model, folder) => [
      `notice data mit-states --images ${folder}/mit-states --out ${folder}/mit-states.csv --tokenizer ${model}`,
    ],
  },
  {
    name: 'fer',
    title: 'Facial expressions (FER-2013)',
    commands: (model, folder) => [
      `notice data fer --csv fer2013.csv --images ${folder}/fer --out ${folder}/fer.csv --tokenizer ${model}`,
    ],
  },
];

/** Samples of each task in the paper. */
export const PAPER_SAMPLES = 500;

/** Something that is not there, and the commands that make it or tell more. */
export interface Missing {
  readonly what: string;
  readonly commands: readonly string[];
}

/** Everything that a reproduction lacks: the model, and manifests that are missing or cannot be used. */
export async function missingPrerequisites(model: string, folder: string): Promise<Missing[]> {
  const missing: Missing[] = [];
  const check = async (problem: Promise<unknown>, commands: readonly string[]): Promise<void> => {
    const error = await problem.then(
      () => undefined,
      (found: unknown) => found,
    );
    if (error instanceof NoticeError) missing.push({ what: error.message, commands });
    else if (error !== undefined) throw error;
  };
  await check(resolveModel(model), []); // its message says what to pull
  for (const { name, title, commands } of PAPER_TASKS) {
    const file = join(folder, `${name}.csv`);
    const exists = await stat(file).catch(() => undefined);
    if (exists) await check(readManifest(file), [`notice data check ${file}`]);
    else missing.push({ what: `${title}: there is no ${file}`, commands: commands(model, folder) });
  }
  return missing;
}

/** The paper's experiment as arguments of `notice run`: 500 samples per task, balanced, heads ranked by mean |LD′ − LD*|. */
export function runArguments(options: {
  readonly model: string;
  readonly folder: string;
  readonly out: string;
  readonly samples: number;
  /** Also Gaussian noise on image embeddings (Figures 4 and 10). */
  readonly noise: boolean;
}): string[] {
  return [
    ['--model', options.model],
    ['--data', PAPER_TASKS.map(({ name }) => join(options.folder, `${name}.csv`)).join(',')],
    ['--out', options.out],
    ['--samples', String(options.samples)],
    ['--select', 'balanced'],
    ['--corruptions', options.noise ? 'sip,str,noise' : 'sip,str'],
    ['--statistic', 'absolute'],
    ['--evaluate', 'all'],
  ].flat();
}
