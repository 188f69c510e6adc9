// How --help reads: what an option does, what it may be, whether it must be given, and what it is if not.

import type { Option } from 'commander';

/** An option's line; of lists the default stands as it is written on the command line. */
export function describeOption(option: Option): string {
  const { description, argChoices, defaultValue, defaultValueDescription, mandatory } = option;
  const shown =
    typeof defaultValue === 'object' ? Object.values(defaultValue).join(',') : String(defaultValue ?? '');
  const extras = [
    ...(mandatory ? ['required'] : []),
    ...(argChoices ? [argChoices.join(', ')] : []),
    ...(shown === '' || option.isBoolean() ? [] : [`default: ${defaultValueDescription ?? shown}`]),
  ];
  return extras.length === 0 ? description : `${description} (${extras.join('; ')})`;
}
