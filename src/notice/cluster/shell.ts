// Arguments as text for a POSIX shell.

/** Stands for the number of a step's task, from 1, in the arguments of its commands. */
export const TASK = '{task}';

/** An argument that the shell passes on as it is, but for {@link TASK}, in whose place it puts its variable TASK. */
export function shellQuote(text: string): string {
  const quote = (part: string) =>
    /^[\w./,:=@+-]*$/.test(part) ? part : `'${part.replaceAll("'", String.raw`'\''`)}'`;
  return text === '' ? "''" : text.split(TASK).map(quote).join('"$TASK"');
}
