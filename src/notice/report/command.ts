// The command that measures the same again.

import type { RunRecord } from '../experiment/results.ts';

/** A line for a POSIX shell. Every option that decides results is written, defaults of other versions may differ. */
export function repeatCommand(record: RunRecord): string {
  return ['notice', 'run', ...repeatArguments(record)].map(quote).join(' ');
}

/** Arguments of `notice run`, into a folder of its own. */
export function repeatArguments({ settings, inputs }: RunRecord): string[] {
  const options: [name: string, value: string | number | undefined][] = [
    ['model', settings.model],
    ['data', settings.data.join(',')],
    ['out', 'repeated'],
    ['samples', settings.samples],
    ['select', settings.select],
    ['corruptions', settings.corruptions.join(',')],
    ['generated', settings.generated],
    ['sites', settings.moduleSites.join(',') || undefined],
    ['head-site', settings.headSite],
    ['statistic', settings.statistic],
    ['measure', settings.measure],
    ['compat', settings.compat.join(',') || undefined],
    ['template', settings.template],
    ['image-backend', inputs?.imageBackend],
    ['seed', settings.seed],
    ['noise-draws', settings.noiseDraws],
    ['evaluate', settings.evaluate],
    ['look', settings.look],
    ['dtype', settings.dtype],
  ];
  const flags = settings.subgroupMatrices ? ['--subgroup-matrices'] : [];
  return [
    ...options.flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, String(value)])),
    ...flags,
  ];
}

function quote(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}
