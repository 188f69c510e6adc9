// Pairs from any labelled images (CLEVR, ShapeWorld, CUB, cars …): two images that differ in exactly one attribute make a
// semantic image pair, and the question asks for that attribute.

import { resolve } from 'node:path';
import { type BuildOptions, type BuildResult, type LabelledImage, pairImages } from './counterpart.ts';
import { streamTable } from './csv.ts';
import { DataError } from './errors.ts';
import { type FolderImage, fileName, imageIds, listImages, soundImages } from './images.ts';
import type { BuildReport, Drop } from './report.ts';

/** An image and the value of every attribute. */
export interface AttributedImage {
  readonly id: string;
  readonly file: string;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface AttributedImages {
  readonly images: AttributedImage[];
  readonly report: BuildReport;
}

export interface AttributeOptions extends BuildOptions {
  /** Begins the ids of the pairs: "clevr". */
  readonly name: string;
  /**
   * For each attribute to ask for, the question: `{options}` becomes "red or blue", `{shape}` the image's shape. Example:
   * `{ color: 'Is the {shape} {options}?' }`. An attribute without a question is still held equal.
   */
  readonly prompts: Readonly<Record<string, string>>;
  /** Pairs of values that mean nearly the same, of any attribute. */
  readonly similar?: (value: string, other: string) => boolean;
  /** For each attribute more words that may stand in for its values in corrupt prompts. */
  readonly standIns?: Readonly<Record<string, readonly string[]>>;
}

/**
 * One pair for each image and attribute asked for, if another image differs in that attribute alone. Categories: the
 * attributes. Options are replaced by other values of the same attribute, or its stand-ins. Drops: those of `pairImages`.
 * @throws DataError a question without `{options}`, or one that names an attribute that the images do not have
 */
export function buildAttributePairs(
  images: readonly AttributedImage[],
  options: AttributeOptions,
): BuildResult {
  const similar = options.similar ?? (() => false);
  const results = Object.entries(options.prompts).map(([attribute, template]) => {
    const names = Object.keys(images[0]?.attributes ?? {});
    checkTemplate(template, attribute, names);
    const byId = new Map(images.map((image) => [image.id, image.attributes]));
    const values = [...new Set(images.map(({ attributes }) => attributes[attribute] as string))].sort();
    const labelled = images.map(({ id, file, attributes }): LabelledImage => {
      const others = names.filter((name) => name !== attribute).map((name) => [name, attributes[name]]);
      const label = attributes[attribute] as string;
      return { id, file, group: JSON.stringify(Object.fromEntries(others)), label, category: attribute };
    });
    return pairImages(labelled, {
      ...options,
      name: fileName(`${options.name}-${attribute}`),
      allowed: (value, other) => !similar(value, other),
      prompt: ({ id }, first, second) =>
        fill(template, { ...byId.get(id), options: `${first} or ${second}` }),
      pool: () => [...new Set([...values, ...(options.standIns?.[attribute] ?? [])])].sort(),
      similar,
    });
  });
  const pairs = results.flatMap((result) => result.pairs);
  const drops = results.flatMap((result) => result.report.drops);
  return { pairs, report: { read: images.length, kept: pairs.length, drops } };
}

/**
 * Images of a folder whose folders are labels: with `["color", "shape"]`, "red/round barn/3.jpg" is a red round barn.
 * Underscores become spaces. Drops: those of `listImages`, "wrong-depth".
 */
export async function readLabelledFolder(
  folder: string,
  attributes: readonly string[],
): Promise<AttributedImages> {
  const { images, drops } = await listImages(folder);
  const ids = imageIds(images);
  const kept: AttributedImage[] = [];
  const wrong: Drop[] = [];
  for (const [index, { file, path }] of images.entries()) {
    const labels = path.split('/').slice(0, -1);
    if (labels.length !== attributes.length) {
      const detail = `${labels.length} folders deep, for ${attributes.length} attributes (${attributes.join(', ')})`;
      wrong.push({ source: path, reason: 'wrong-depth', detail });
      continue;
    }
    const values = attributes.map((name, i) => [name, spaced(labels[i] as string)] as const);
    kept.push({ id: ids[index] as string, file, attributes: Object.fromEntries(values) });
  }
  const report = { read: images.length + drops.length, kept: kept.length, drops: [...drops, ...wrong] };
  return { images: kept, report };
}

/**
 * Images of a CSV with a column of paths, relative to `folder`, and a column for each attribute. Underscores become spaces.
 * Drops: "cell-count", "empty-field", "duplicate-image", "bad-image" (missing, or does not decode).
 * @throws DataError unreadable, or a column missing
 */
export async function readLabelledTable(
  csv: string,
  folder: string,
  columns: { readonly image: string; readonly attributes: readonly string[] },
): Promise<AttributedImages> {
  const drops: Drop[] = [];
  const rows: (FolderImage & Pick<AttributedImage, 'attributes'> & { source: string })[] = [];
  const seen = new Map<string, string>();
  for await (const { source, cells } of streamTable(csv, [columns.image, ...columns.attributes], drops)) {
    const path = (cells[columns.image] as string).trim();
    const file = resolve(folder, path);
    const values = columns.attributes.map((name) => [name, spaced(cells[name] as string)] as const);
    const empty = path === '' ? columns.image : values.find(([, value]) => value === '')?.[0];
    const first = seen.get(file);
    if (empty !== undefined) {
      drops.push({ source, reason: 'empty-field', detail: `${empty} is empty` });
    } else if (first !== undefined) {
      drops.push({ source, reason: 'duplicate-image', detail: `"${path}" stands also in ${first}` });
    } else {
      seen.set(file, source);
      rows.push({ source, file, path, attributes: Object.fromEntries(values) });
    }
  }
  const read = rows.length + drops.length;
  const sound = await soundImages(rows, drops);
  const ids = imageIds(sound);
  const images = sound.map(({ file, attributes }, index) => ({ id: ids[index] as string, file, attributes }));
  return { images, report: { read, kept: images.length, drops } };
}

const spaced = (label: string): string => label.replaceAll('_', ' ').trim();

function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{([^{}]+)\}/g, (_, name: string) => values[name] as string);
}

function checkTemplate(template: string, attribute: string, names: readonly string[]): void {
  const used = [...template.matchAll(/\{([^{}]+)\}/g)].map((match) => match[1] as string);
  if (!names.includes(attribute)) {
    throw new DataError(`There is no attribute "${attribute}" to ask for; there are ${names.join(', ')}.`);
  }
  if (!used.includes('options')) {
    throw new DataError(`The question for "${attribute}" lacks {options}: "${template}".`);
  }
  const unknown = used.find((name) => name !== 'options' && !names.includes(name));
  if (unknown !== undefined) {
    throw new DataError(`The question "${template}" names {${unknown}}; there are ${names.join(', ')}.`);
  }
}
