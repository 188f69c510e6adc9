import { testFamily } from '../../support/golden-family.ts';

// 15 in every block of the language model, 11 in every one of the vision tower.
testFamily({ folder: 'smolvlm-tiny', activations: 3 * 15 + 2 * 11 });
testFamily({ folder: 'idefics3-tiny', activations: 2 * 15 + 2 * 11 });
