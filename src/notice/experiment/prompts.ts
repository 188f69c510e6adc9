// The tokens of samples' prompts with the parts that they play, as they stand in the cells of a run.

import type { CellRow } from '../../analysis/cell.ts';
import type { Cells } from '../../analysis/effects.ts';

export interface PromptToken {
  readonly position: number;
  /** As in {@link CellRow}. */
  readonly role: string;
  readonly text: string;
}

/** In the order of the prompt; tokens that stand for an image are left out. */
export type PromptTokens = readonly PromptToken[];

/** Collects the tokens of some samples while the cells of a run go by. */
export class PromptCollector {
  readonly #samples: ReadonlyMap<string, string>;
  /** By task and position. */
  readonly #found: ReadonlyMap<string, Map<number, PromptToken>>;

  /** @param samples one of each task, by the task's name */
  constructor(samples: ReadonlyMap<string, string>) {
    this.#samples = samples;
    this.#found = new Map([...samples.keys()].map((task) => [task, new Map()]));
  }

  /** The same cells. */
  async *watch(cells: Cells): AsyncGenerator<CellRow> {
    for await (const cell of cells) {
      const { task, sample, head, position, role, token } = cell;
      // Modules are patched at every token.
      if (head === null && this.#samples.get(task) === sample)
        this.#found.get(task)?.set(position, { position, role, text: token });
      yield cell;
    }
  }

  /** What was collected, by task; tasks of which nothing was found are left out. */
  prompts(): Map<string, PromptTokens> {
    const ordered = [...this.#found].map(
      ([task, tokens]) => [task, [...tokens.values()].sort((a, b) => a.position - b.position)] as const,
    );
    return new Map(ordered.filter(([, tokens]) => tokens.length > 0));
  }
}
