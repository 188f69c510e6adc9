// Buttons that give a map as files.

import type { JSX } from 'preact';
import { report } from '../state/app.ts';
import { csvOf, type MapTable, parquetOf } from '../state/map-table.ts';
import { download, pngBlob, svgText } from './export.ts';
import './reading.css';

export interface ExportMenuProps {
  /** Of the files, without extension. */
  readonly name: string;
  /** The drawing; undefined while there is none. */
  readonly drawing: () => SVGSVGElement | null | undefined;
  readonly table: () => MapTable;
}

/** PNG and SVG of a map as it is shown, its numbers as CSV and Parquet. */
export function ExportMenu({ name, drawing, table }: ExportMenuProps): JSX.Element {
  const kinds: Readonly<Record<string, () => Promise<Blob | undefined>>> = {
    PNG: async () => {
      const svg = drawing();
      return svg ? pngBlob(svg) : undefined;
    },
    SVG: async () => {
      const svg = drawing();
      return svg ? new Blob([await svgText(svg)], { type: 'image/svg+xml' }) : undefined;
    },
    CSV: async () => new Blob([await csvOf(table())], { type: 'text/csv' }),
    Parquet: async () => new Blob([await parquetOf(table())]),
  };
  const save = async (kind: string) => {
    try {
      const file = await kinds[kind]?.();
      if (file) download(`${name}.${kind.toLowerCase()}`, file);
    } catch (error) {
      report(error);
    }
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for fields
    <span role="group" class="export-menu" aria-label={`Save ${name}`}>
      {Object.keys(kinds).map((kind) => (
        <button key={kind} type="button" onClick={() => void save(kind)}>
          {kind}
        </button>
      ))}
    </span>
  );
}
