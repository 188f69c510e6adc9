// Hook names as users write them: exact, as globs, or without a tower where there is no doubt.

import picomatch from 'picomatch';
import { checkText } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { HookInfo, Sequence, VisionLanguageModel } from '../models/index.ts';

/** What has hook points: their table, its towers' settings, and the tower that names without one mean. */
export type HookedModel = Pick<VisionLanguageModel, 'hooks' | 'configs' | 'defaultTower'>;

/** Which hook points: names or globs (`text_encoder.*.hook_z`), or a test of the name. */
export type NameFilter = string | readonly string[] | ((name: string) => boolean);

/**
 * The hook point of this name, or the derived activation (`attn.hook_result`).
 *
 * @throws NoticeError('hook') that lists the nearest names if there is none
 */
export function findHook(model: HookedModel, name: string): HookInfo {
  checkText(name, 'a hook point');
  const candidates = [name, ...towerless(model, name)];
  const hook = withDerived(model).find((info) => candidates.includes(info.name));
  if (!hook) throw unknownHook(model, name);
  return hook;
}

/**
 * The whole name of a hook point at which something is to be changed, or that other rows are to be taken from.
 *
 * @throws NoticeError('hook') as {@link findHook}, and for a derived activation
 */
export function hookPoint(model: HookedModel, name: string): string {
  const hook = findHook(model, name);
  if (!hook.derived) return hook.name;
  throw new NoticeError(
    'hook',
    `${hook.name} is made of hook_z for those who read it; nothing goes on from it. Change ${hook.name.replace(/result$/, 'z')}`,
  );
}

/**
 * All that can be read of a model, in the order of computation: its hook points, and behind every hook_z the hook_result that is
 * made of it, z · W_O of each head by itself.
 */
export function withDerived(model: HookedModel): HookInfo[] {
  const widths = new Map(model.configs.map(({ name, width }) => [name, width]));
  return model.hooks.flatMap((hook) => {
    if (!/attn\.hook_z$/.test(hook.name)) return [hook];
    const [position, heads] = hook.shape as [string, number];
    const result: HookInfo = {
      name: hook.name.replace(/z$/, 'result'),
      shape: [position, heads, widths.get(towerOf(hook.name)) as number],
      module: `${hook.module.replace(/^input of /, '')} of each head by itself, without bias`,
      derived: true,
    };
    return [hook, result];
  });
}

/**
 * Names that pass a filter, in the order of computation. What is derived is asked for by its own name (`*.hook_result`) only:
 * other globs and functions leave it out, since it is large.
 *
 * @throws NoticeError('hook') if a name or glob matches nothing
 */
export function selectHooks(model: HookedModel, filter: NameFilter): Set<string> {
  const all = withDerived(model);
  const names = all.map(({ name }) => name);
  const points = all.flatMap(({ name, derived }) => (derived ? [] : [name]));
  if (typeof filter === 'function') return new Set(points.filter(filter));
  const selected = new Set<string>();
  for (const pattern of [filter].flat() as string[]) {
    checkText(pattern, 'a hook point');
    if (pattern === '') throw unknownHook(model, pattern);
    const matches = picomatch([pattern, ...towerless(model, pattern)]);
    const found = (pattern.includes('result') ? names : points).filter((name) => matches(name));
    if (found.length === 0) throw unknownHook(model, pattern);
    for (const name of found) selected.add(name);
  }
  return new Set(names.filter((name) => selected.has(name)));
}

/** A site is a hook name without its block: `text_encoder.attn.hook_z` stands for every block's. */
export interface Site {
  readonly tower: string;
  /** `attn.hook_z` */
  readonly hook: string;
}

/**
 * @throws NoticeError('hook') if the tower's blocks have no such hook
 */
export function parseSite(model: VisionLanguageModel, site: string): Site {
  checkText(site, 'a site');
  const [first = '', ...rest] = site.split('.');
  const tower = model.towers.includes(first) ? first : model.defaultTower;
  const hook = tower === first ? rest.join('.') : site;
  if (tower && model.hooks.some(({ name }) => name === `${tower}.blocks.0.${hook}`)) return { tower, hook };
  const sites = model.hooks
    .filter(({ name }) => name.includes('.blocks.0.'))
    .map(({ name }) => name.replace('blocks.0.', ''));
  throw new NoticeError('hook', `unknown site "${site}"${suggestion(site, sites)}`);
}

/** Number of blocks of a tower. */
export function blockCount(model: VisionLanguageModel, tower: string): number {
  const prefix = `${tower}.blocks.`;
  return new Set(
    model.hooks
      .filter(({ name }) => name.startsWith(prefix))
      .map(({ name }) => name.slice(prefix.length).split('.')[0]),
  ).size;
}

/** The tower a hook belongs to; `logits` is its own. */
export function towerOf(hook: string): string {
  return hook.split('.')[0] as string;
}

/** Whether the hook point's values are divided into heads (also if there is only one). */
export function isByHead(hook: string): boolean {
  return /attn\.hook_(?!out$)/.test(hook);
}

/** Whether the hook point's positions are those of the tower that cross-attention reads. */
export function isOfMemory(hook: string): boolean {
  return /cross_attn\.hook_[kv]$/.test(hook);
}

/** Whether the hook point lies in or behind cross-attention, which may be for some positions only. */
export function isOfCross(hook: string): boolean {
  return /\.cross_attn\.|\.hook_(cross_attn_out|(normalized_)?resid_cross)$/.test(`.${hook}`);
}

/** Positions that a run has at a hook point. */
export function lengthAt(hook: string, run: Sequence): number {
  if (!isOfMemory(hook)) return isOfCross(hook) ? run.queries : run.length;
  return positionsAt(hook, run).length;
}

/** The run whose positions a hook point has: itself, or what it reads of another tower. */
export function positionsAt(hook: string, run: Sequence): Sequence {
  if (!isOfMemory(hook)) return run;
  for (let at: Sequence | undefined = run; at; at = at.base) if (at.memory) return at.memory;
  throw new Error(`${hook}: the run reads no other tower`);
}

/** Keys that a run's attention has, by the name of its scores. */
export function keysAt(scores: string, run: Sequence): number {
  return lengthAt(scores.replace(/hook_attn_scores$/, 'hook_k'), run);
}

/** Whether the hook point is an attention's scores. */
export function isOfScores(hook: string): boolean {
  return hook.endsWith('attn.hook_attn_scores');
}

function towerless({ defaultTower }: HookedModel, name: string): string[] {
  return defaultTower === undefined ? [] : [`${defaultTower}.${name}`];
}

function unknownHook(model: HookedModel, name: string): NoticeError {
  return new NoticeError(
    'hook',
    `unknown hook point "${name}"${suggestion(
      name,
      withDerived(model).map((hook) => hook.name),
    )} hooks(model) lists all of them.`,
  );
}

function suggestion(name: string, known: readonly string[]): string {
  const nearest = [...known]
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
  return nearest.length > 0 ? `; the nearest are ${nearest.join(', ')}.` : '.';
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] as number) + Number(a[i - 1] !== b[j - 1]);
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, substitution));
    }
    row = next;
  }
  return row[b.length] as number;
}
