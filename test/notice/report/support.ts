// A made-up analysis of two tasks and two corruptions, whose effects follow a rule.

import type { CellRow, Corruption } from '../../../src/analysis/cell.ts';
import { type Analysis, analyseCells } from '../../../src/notice/experiment/analyse.ts';
import type { RunRecord } from '../../../src/notice/experiment/results.ts';
import type { ExperimentSettings } from '../../../src/notice/experiment/settings.ts';
import { cell } from '../../analysis/support.ts';

const TASKS = ['scenes', 'states'];
const CATEGORIES = ['subject', 'relation', 'object'];
const CORRUPTIONS: Corruption[] = ['sip', 'str'];
export const ROLES = ['start', 'correct', 'or', 'incorrect', 'end'];
const MODULES = 'text_encoder.hook_mlp_out';
const HEADS = 'text_encoder.cross_attn.hook_z';

/** Of a module at role r in layer l, of a head h in layer l: 0.1 for each step, more under STR. */
const effect = (corruption: Corruption, a: number, layer: number) =>
  0.1 * (1 + a + 2 * layer) * (corruption === 'str' ? 2 : 1);

const cells: CellRow[] = TASKS.flatMap((task) =>
  CORRUPTIONS.flatMap((corruption) =>
    Array.from({ length: 6 }, (_, s) => {
      const modality = corruption === 'str' ? ('text' as const) : ('image' as const);
      const of = { sample: `${task}-${s}`, task, category: CATEGORIES[s % 3]!, corruption, modality };
      const values = (size: number) => ({ ld_effect: size, p_effect: size / 10, p_patched: size / 10 });
      return [0, 1, 2].flatMap((layer) => [
        ...ROLES.map((role, r) =>
          cell({
            ...of,
            layer,
            role,
            token: role,
            position: r,
            site: MODULES,
            ...values(effect(corruption, r, layer)),
          }),
        ),
        ...[0, 1, 2, 3].map((head) =>
          cell({
            ...of,
            layer,
            head,
            site: HEADS,
            ...values(head === 2 && layer === 1 ? 5 : effect(corruption, head, layer)),
          }),
        ),
      ]);
    }).flat(),
  ),
);

export const settings: ExperimentSettings = {
  ...{ model: 'models/made-up', data: TASKS.map((task) => `data/${task}.csv`), samples: 6, select: 'first' },
  ...{ corruptions: CORRUPTIONS, moduleSites: [MODULES], headSite: HEADS, statistic: 'absolute' },
  ...{ compat: [], seed: 0, noiseDraws: 1, noiseScale: 3, template: undefined },
};

export async function madeUp(): Promise<Analysis> {
  const record: RunRecord = {
    settings,
    version: 'test',
    model: { family: 'blip', answers: 'decoder', weightBytes: 1, towers: [] },
    adapter: 'none',
    started: '2026-01-01T00:00:00Z',
    finished: '2026-01-01T00:01:00Z',
    seconds: 60,
    tasks: TASKS.map((task) => ({
      task,
      pairs: 8,
      asked: 6,
      correct: 6,
      selected: Array.from({ length: 6 }, (_, s) => `${task}-${s}`),
      unusable: [
        { source: '7', reason: 'too-long', detail: 'the prompt has 600 tokens, the model reads 512' },
      ],
      withoutText: {},
    })),
  };
  const controls = [
    { sample: 'scenes-0', corruption: 'sip' as const, nullPatches: 2, noiseFloor: 1e-6, noiseFloorP: 1e-8 },
  ];
  const share = { correct: 5, accuracy: 5 / 6, low: 0.4, high: 0.97 };
  return {
    ...(await analyseCells(cells, controls, settings)),
    record,
    accuracy: TASKS.flatMap((task) =>
      ['all', ...CATEGORIES].map((category) => ({
        task,
        category,
        n: 6,
        ...share,
        firstLetter: share,
        flipped: 0.5,
      })),
    ),
    attentionPosition: 'answer',
    attention: new Map(),
    functions: new Map(),
    pairs: new Map(),
    prompts: new Map([
      [
        'scenes',
        ROLES.map((role, position) => ({ position: role === 'end' ? 9 : position, role, text: `Ġ${role}` })),
      ],
    ]),
  };
}
