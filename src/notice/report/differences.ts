// Where a run departs from what the paper did, so that nobody compares what is not comparable.

import type { Analysis } from '../experiment/analyse.ts';
import { modelTitle } from '../experiment/settings.ts';
import { PAPER_SAMPLES } from '../reproduce/index.ts';
import { html, type Markup } from './html.ts';

export function differencesFromPaper({ record, accuracy }: Analysis): Markup {
  const { settings, model, tasks } = record;
  const notes: string[] = [];
  if (!/blip-vqa-base|llava-1\.5-7b/i.test(settings.model))
    notes.push(`The model is ${modelTitle(settings.model)}; the paper's are BLIP-VQA-base and LLaVA-1.5-7B.`);
  const few = tasks.filter(({ selected }) => selected.length < PAPER_SAMPLES);
  if (few.length > 0)
    notes.push(
      `Samples: ${few.map(({ task, selected }) => `${selected.length} of ${task}`).join(', ')}; the paper has ${PAPER_SAMPLES} per task.`,
    );
  if (!tasks.some(({ task }) => /svo|mit|fer/i.test(task)))
    notes.push('The tasks are not SVO-Probes, MIT-States and FER-2013.');
  if (settings.statistic === 'signed')
    notes.push('Heads are ranked by the signed mean, not by the mean of absolute effects.');
  if (settings.select === 'first')
    notes.push('Samples are the first of the file, not balanced by answer order.');
  for (const name of settings.compat)
    notes.push(`${name}: as the released code does it, not as the paper's text defines it.`);
  if (settings.compat.length === 0)
    notes.push(
      "No compat switch is on: modules, positions and answer tokens are those of the paper's text; the released code differs (see docs/compat.md).",
    );
  if (model.answers === 'decoder' && accuracy.length > 0)
    notes.push('Generation is greedy with the answer decoder.');
  return html`<ul>${notes.map((note) => html`<li>${note}</li>`)}</ul>`;
}
