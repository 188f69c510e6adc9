// What the page holds, put together as a program and as an experiment.

import type { RunAnswer } from '../protocol/session.ts';
import { model, pair } from './app.ts';
import { experimentYaml } from './bundle.ts';
import type { PinnedPair } from './code.ts';
import { programOf } from './code.ts';
import { embeddedPairs, specOf } from './first.ts';
import { points, summary } from './many.ts';
import { corruption, patched } from './patched.ts';
import { activePins } from './pins.ts';
import { chosenSites } from './sweep.ts';

/** The program of what is pinned, with the numbers that are shown; undefined before a pair is there. */
export function program(): string | undefined {
  const [open, shown] = [model.value, pair.value];
  if (!open || !shown) return undefined;
  return programOf({
    model: open,
    corruption: corruption.value,
    pair: { spec: shown.spec, pins: activePins.value },
    others: patchedOthers(),
    shown: shownLines(),
  });
}

/** Pairs of "on n pairs" with what was applied to them. */
function patchedOthers(): PinnedPair[] {
  const known = new Map(embeddedPairs.value.map((one) => [one.id, one]));
  return points.value.flatMap((point) => {
    const one = known.get(point.id);
    return one && point.kind === 'patched' ? [{ spec: specOf(one), pins: point.pins }] : [];
  });
}

function shownLines(): string[] {
  const shown = pair.value;
  const corrupt = shown?.corrupt[corruption.value];
  if (!shown || !corrupt) return [];
  const line = (name: string, { pCorrect, pIncorrect, logitDifference }: Omit<RunAnswer, 'answer'>) =>
    `${name}: P(correct) ${pCorrect.toFixed(6)}, P(incorrect) ${pIncorrect.toFixed(6)}, logit difference ${logitDifference.toFixed(6)}`;
  return [
    line('clean', shown.clean),
    line('corrupt', corrupt),
    ...(patched.value ? [line('patched', patched.value)] : []),
    ...(summary.value
      ? [
          `${summary.value.ldEffect.n} pairs, LD′ − LD*: mean ${summary.value.ldEffect.mean.toFixed(6)}, 95 % from ${summary.value.ldEffect.low.toFixed(6)} to ${summary.value.ldEffect.high.toFixed(6)}`,
        ]
      : []),
  ];
}

/** The configuration of `notice run`; undefined before a pair is there. */
export function experiment(): string | undefined {
  const [open, shown] = [model.value, pair.value];
  if (!open || !shown) return undefined;
  return experimentYaml({ model: open, spec: shown.spec, sites: chosenSites.value ?? open.moduleSites });
}
