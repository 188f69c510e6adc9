// The experiment that goes with what the page shows, as a configuration of `notice run`.

import type { ModelInfo, PairSpec } from '../protocol/session.ts';

/** Where npm puts the package, seen from the folder that the file is run in. */
const PACKAGE = 'node_modules/notice-webgpu-cli';

export interface BundleOptions {
  readonly model: Pick<ModelInfo, 'choice' | 'dtype' | 'headSite'>;
  readonly spec: PairSpec;
  /** Sites that are patched at every token. */
  readonly sites: readonly string[];
}

/**
 * YAML whose keys are the long options of `notice run`. The data is the embedded task that the pair is of, or for a pair of one's
 * own all of them.
 */
export function experimentYaml({ model: { choice, dtype, headSite }, spec, sites }: BundleOptions): string {
  const model = {
    embedded: () => `${PACKAGE}/weights/${choice.kind === 'embedded' ? choice.name : ''}`,
    hub: () => (choice.kind === 'hub' ? choice.id : ''),
    folder: () => (choice.kind === 'folder' ? `./${choice.name}` : ''),
  }[choice.kind]();
  const [task] = spec.id?.split('/') ?? [];
  const tasks = task ? [task] : ['scenes', 'states', 'faces'];
  const corruptions = ['sip', 'str', ...(spec.image.kind === 'noise' ? ['noise'] : [])];
  // JSON is YAML, and quotes whatever a name holds.
  const lines = Object.entries({
    model,
    ...(dtype === 'as in the file' ? {} : { dtype }),
    data: tasks.map((name) => `${PACKAGE}/data/${name}.csv`),
    out: 'results',
    samples: 60,
    seed: 0,
    corruptions,
    sites,
    'head-site': headSite,
  }).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return [
    '# The experiment of the paper with what the NOTICE explorer shows: its model, its data, its sites.',
    '#   npm install notice-webgpu-cli',
    ...(choice.kind === 'hub' ? ['#   npx notice pull MODEL, as it is named below'] : []),
    '#   npx notice run --config experiment.yaml',
    ...(task ? [] : ['# The pair in the page is none of the embedded data: here is all of that.']),
    ...lines,
    '',
  ].join('\n');
}
