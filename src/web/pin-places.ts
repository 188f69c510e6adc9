// Pins of one pair on another one: at the tokens that play the same part.

import { isOfMemory, towerOf } from '../patching/names.ts';
import type { CutPin, EditPin, Pin } from './protocol/pins.ts';
import { type PlacedRole, samePlaces } from './role-positions.ts';

/**
 * @param promptTower the tower whose positions are the prompt's
 * @returns undefined if the other prompt lacks a token that one of them is at
 */
export function pinsThere(
  pins: readonly Pin[],
  from: readonly PlacedRole[],
  to: readonly PlacedRole[],
  promptTower: string,
): Pin[] | undefined {
  const move = (positions: readonly number[]) => samePlaces(positions, from, to);
  const moved = pins.map((pin) => {
    if (pin.kind === 'edit') return movedEdit(pin, promptTower, move);
    if (pin.kind === 'cut') return movedCut(pin, promptTower, move);
    return pin;
  });
  return moved.every((pin) => pin !== undefined) ? moved : undefined;
}

type Move = (positions: readonly number[]) => number[] | undefined;

function movedEdit(pin: EditPin, promptTower: string, move: Move): EditPin | undefined {
  const { hooks, positions } = pin;
  const ofPrompt = hooks.every((hook) => towerOf(hook) === promptTower && !isOfMemory(hook));
  if (!positions || !ofPrompt) return pin;
  const there = move(positions);
  return there && { ...pin, positions: there };
}

function movedCut(pin: CutPin, promptTower: string, move: Move): CutPin | undefined {
  if (towerOf(pin.attention) !== promptTower) return pin;
  const to = move(pin.to);
  const from = pin.attention.endsWith('.cross_attn') ? pin.from : move(pin.from);
  return to && from && { ...pin, from, to };
}
