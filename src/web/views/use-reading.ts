// What the worker reads, asked for anew whenever what it depends on changes.

import { useEffect, useState } from 'preact/hooks';
import type { TaskName, Tasks } from '../protocol.ts';
import { report } from '../state/app.ts';
import { cancel, isCancelled, run } from '../state/engine.ts';

/**
 * The result of a task for the arguments at hand; while it is computed the one before stays. A newer call cancels the
 * older, and so does leaving the view.
 *
 * @param args undefined: nothing is asked
 * @param dependencies what the arguments are made of, as plain values
 */
export function useReading<Name extends TaskName>(
  name: Name,
  args: Tasks[Name]['args'] | undefined,
  dependencies: readonly unknown[],
): {
  readonly result: Tasks[Name]['result'] | undefined;
  readonly busy: boolean;
  readonly problem: string | undefined;
} {
  const [result, setResult] = useState<Tasks[Name]['result']>();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    if (args === undefined) return;
    let current = true;
    setBusy(true);
    run(name, args)
      .then((found) => {
        setResult(() => found);
        setProblem(undefined);
      })
      .catch((error: unknown) => {
        if (isCancelled(error)) return;
        setProblem(error instanceof Error ? error.message : String(error));
        setResult(undefined);
        if (!isExpected(error)) report(error);
      })
      .finally(() => {
        if (current) setBusy(false);
      });
    return () => {
      current = false;
      cancel(name);
    };
  }, dependencies);
  return { result, busy, problem };
}

/** What a view says in its own place: the model has no such thing. */
function isExpected(error: unknown): boolean {
  return error instanceof Error && 'code' in error && ['hook', 'usage', 'text'].includes(String(error.code));
}
