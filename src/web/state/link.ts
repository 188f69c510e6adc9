// The state of the page as the part of its address behind the #, and back. Pictures and models of one's own are not in it.

import { linkHash } from '../../notice/explorer-link.ts';
import { METRICS } from '../../patching/index.ts';
import type { Pin } from '../protocol/pins.ts';
import type { CorruptionName, ModelChoice, PairSpec, Picture } from '../protocol/session.ts';
import { pinsIn } from './pin-check.ts';
import type { MetricName } from './sweep.ts';

export interface PageState {
  readonly model: ModelChoice;
  /** Storage type of the weights; left out: as in the file. */
  readonly dtype?: string | undefined;
  readonly pair: PairSpec;
  readonly corruption: CorruptionName;
  readonly metric: MetricName;
  /** Sites that are swept; left out: those of the paper. */
  readonly sites?: readonly string[] | undefined;
  readonly pins: readonly Pin[];
  readonly tab: string;
}

/** What a link says; what it does not say is as the page opens. */
export interface LinkedState extends Partial<Omit<PageState, 'model' | 'pair'>> {
  readonly model?: Exclude<ModelChoice, { kind: 'folder' }>;
  /** A pair of the embedded data by its name, or all of its spec. */
  readonly pair?: string | PairSpec;
  /** The model folder that the link is about; whoever opens it has to choose it. */
  readonly folder?: string;
  /** What the link cannot hold, in words: a folder to open, a picture to choose. */
  readonly missing: readonly string[];
}

/**
 * @param known the embedded pair of the same name; if the pair is just that, its name is enough
 * @returns the part of the address behind `#`, and what of the state it leaves out
 */
export function linkOf(
  { model, dtype, pair, corruption, metric, sites, pins, tab }: PageState,
  known?: PairSpec,
): { readonly hash: string; readonly leftOut: readonly string[] } {
  const isKnown = pair.id !== undefined && JSON.stringify(pair) === JSON.stringify(known);
  const hash = linkHash({
    model: model.kind === 'embedded' ? model.name : model.kind === 'hub' ? model.id : undefined,
    folder: model.kind === 'folder' ? model.name : undefined,
    dtype,
    pair: isKnown ? pair.id : undefined,
    spec: isKnown ? undefined : JSON.stringify(pair, (key, value) => (key === 'file' ? undefined : value)),
    corruption,
    metric,
    sites: sites?.join(','),
    pins: pins.length > 0 ? JSON.stringify(pins) : undefined,
    tab,
  });
  const leftOut = [
    ...(model.kind === 'folder' ? [`the files of the model ${model.name}`] : []),
    ...ownPictures(pair).map(({ name }) => `the picture ${name}`),
  ];
  return { hash, leftOut };
}

/**
 * Reads a link. Whatever it holds beside what the page writes, or in another form, is left out.
 *
 * @param hash with or without `#`
 */
export function readLink(hash: string): LinkedState {
  const fields = new URLSearchParams(hash.replace(/^#/, ''));
  const missing: string[] = [];
  const folder = fields.get('folder');
  if (folder !== null) missing.push(`the folder of the model ${folder}: open it once more`);
  const spec = specIn(jsonIn(fields.get('spec')));
  for (const { name } of spec ? ownPictures(spec) : [])
    missing.push(`the picture ${name}: choose it once more`);
  const metric = METRICS.find((name) => name === fields.get('metric'));
  const corruption = (['image', 'text'] as const).find((name) => name === fields.get('corruption'));
  return {
    ...optional('model', modelIn(fields.get('model'))),
    ...optional('folder', folder),
    ...optional('dtype', fields.get('dtype')),
    ...optional('pair', spec ?? fields.get('pair')),
    ...optional('corruption', corruption),
    ...optional('metric', metric),
    ...optional('sites', fields.get('sites')?.split(',')),
    ...optional('pins', pinsIn(jsonIn(fields.get('pins')))),
    ...optional('tab', fields.get('tab')),
    missing,
  };
}

function optional<Name extends string, T>(
  name: Name,
  value: T | null | undefined,
): { readonly [N in Name]?: T } {
  return (value === null || value === undefined ? {} : { [name]: value }) as { [N in Name]?: T };
}

function modelIn(text: string | null): LinkedState['model'] {
  if (!text) return undefined;
  return text.includes('/') ? { kind: 'hub', id: text } : { kind: 'embedded', name: text };
}

/** Pictures that only the page's own visitor has. */
function ownPictures({ clean, image }: PairSpec): Extract<Picture, { kind: 'file' }>[] {
  const pictures = [clean, ...(image.kind === 'picture' ? [image.picture] : [])];
  return pictures.filter((picture) => picture.kind === 'file');
}

function jsonIn(text: string | null): unknown {
  try {
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined; // not written by the page
  }
}

function specIn(value: unknown): PairSpec | undefined {
  const spec = value as Partial<PairSpec> | undefined;
  const texts = [spec?.question, spec?.correct, spec?.incorrect, spec?.id ?? '', spec?.corruptQuestion ?? ''];
  const isSpec =
    texts.every((text) => typeof text === 'string') && isPicture(spec?.clean) && isCorruption(spec?.image);
  return isSpec ? (spec as PairSpec) : undefined;
}

function isPicture(value: unknown): boolean {
  const { kind, path, name } = (value ?? {}) as Record<string, unknown>;
  return (kind === 'embedded' && typeof path === 'string') || (kind === 'file' && typeof name === 'string');
}

function isCorruption(value: unknown): boolean {
  const { kind, picture, scale, seed, boxes } = (value ?? {}) as Record<string, unknown>;
  if (kind === 'picture') return isPicture(picture);
  if (kind === 'noise') return Number.isFinite(scale) && Number.isFinite(seed);
  if (kind === 'painted') return Array.isArray(boxes) && boxes.every(isBox);
  return kind === 'no-image';
}

function isBox(value: unknown): boolean {
  return Array.isArray(value) && value.length === 4 && value.every(Number.isFinite);
}
