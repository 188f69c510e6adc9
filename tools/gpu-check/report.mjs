// bench/gpu-check.json: what the last check found, a row for each kernel. `npm test` compares the hashes in it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { figuresOf, TARGETS } from './compile.mjs';

export const REPORT = fileURLToPath(new URL('../../bench/gpu-check.json', import.meta.url));

const COLUMNS = Object.keys(TARGETS).flatMap((target) =>
  ['registers', 'spills', 'cycles'].map((figure) => `${target} ${figure}`),
);

export function readReport() {
  return existsSync(REPORT) ? JSON.parse(readFileSync(REPORT, 'utf8')) : { kernels: {} };
}

/**
 * Puts what was found into the report; rows of kernels that were not asked stay, those of kernels that are no more go.
 *
 * @param kernels all that there are
 * @param results by target, by name what `compile` returned
 */
export function updateReport(kernels, results, versions, tables) {
  const before = readReport().kernels;
  const rows = kernels.map(({ name, hash, usual }) => {
    const found = Object.keys(TARGETS).map((target) => results[target].get(name));
    if (!found.every(Boolean)) return [name, before[name]];
    const figures = found.flatMap((one) => Object.values(figuresOf(one)));
    return [name, [hash, Number(usual), ...figures]];
  });
  const report = {
    ...versions,
    columns: ['hash of the WGSL', 'chosen by default', ...COLUMNS],
    kernels: Object.fromEntries(rows.filter(([, row]) => row).sort(([a], [b]) => (a < b ? -1 : 1))),
    ...tables,
  };
  writeFileSync(REPORT, text(report));
}

/** JSON with a line for each row. */
function text(report) {
  const lines = (values) => values.map((value) => `    ${value}`).join(',\n');
  const entries = Object.entries(report).flatMap(([key, value]) => {
    if (value === undefined) return [];
    if (key === 'kernels') {
      const rows = Object.entries(value).map(
        ([name, row]) => `${JSON.stringify(name)}: ${JSON.stringify(row)}`,
      );
      return `  "kernels": {\n${lines(rows)}\n  }`;
    }
    if (Array.isArray(value) && typeof value[0] === 'object')
      return `  ${JSON.stringify(key)}: [\n${lines(value.map((row) => JSON.stringify(row)))}\n  ]`;
    return `  ${JSON.stringify(key)}: ${JSON.stringify(value)}`;
  });
  return `{\n${entries.join(',\n')}\n}\n`;
}
