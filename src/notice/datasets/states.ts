// The states of MIT-States that the paper uses, in its three groups, and which of them mean nearly the same. The words
// are those of NOTICE's preprocessing; there, similarity was not always mutual ("scratched" listed "cracked", but not the
// other way round). Here it is.

export type StateGroup = 'shape' | 'color' | 'texture';

/** Group of each state, and the sets of similar states. */
export interface StateTable {
  readonly groups: Readonly<Record<StateGroup, readonly string[]>>;
  /** Each state of a set is similar to every other one of it. */
  readonly similar: readonly (readonly string[])[];
}

export const STATES: StateTable = {
  groups: {
    shape:
      words(`small large thick thin coiled cracked folded sliced dented chipped shattered diced straight empty cut
      pressed torn broken tiny huge melted draped scratched`),
    color:
      words(`caramelized painted bright dark unpainted engraved wet burnt weathered rusty old new dry verdant clean
      frozen thawed ancient moldy muddy fresh`),
    texture:
      words(`crushed crumpled splintered wrinkled ruffled mossy molten windblown eroded pureed crinkled frayed
      brushed barren`),
  },
  similar: [
    words('small tiny'),
    words('large huge thick'),
    words('cracked broken chipped shattered splintered scratched'),
    words('cracked broken chipped shattered splintered crushed'),
    words('sliced diced'),
    words('cut torn'),
    words('weathered rusty ancient old'),
    words('new fresh clean'),
    words('crumpled wrinkled crinkled'),
    words('ruffled frayed'),
    words('windblown barren'),
  ],
};

/** The group of a state; nothing for a state the paper does not use. */
export function stateGroup(state: string, table: StateTable = STATES): StateGroup | undefined {
  const entries = Object.entries(table.groups) as [StateGroup, readonly string[]][];
  return entries.find(([, states]) => states.includes(state))?.[0];
}

/** Whether the table holds two states for similar. */
export function similarStates(a: string, b: string, table: StateTable = STATES): boolean {
  return table.similar.some((set) => set.includes(a) && set.includes(b));
}

function words(text: string): string[] {
  return text.split(/\s+/);
}
