import { Presets, SingleBar } from 'cli-progress';

/** Bars that are drawn: the cursor is hidden, and a timer redraws them. */
const drawn = new Set<SingleBar>();

/** What ends a process unless it is listened to. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A progress bar on stderr; nothing where stderr is not a terminal. */
export function progressBar(unit: string): {
  update: (done: number, total: number) => void;
  stop: () => void;
} {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const format = `{bar} {percentage}% · {value}/{total} ${unit} · {eta_formatted} left`;
  const bar = new SingleBar({ format, clearOnComplete: true, hideCursor: true }, Presets.shades_classic);
  let started = false;
  return {
    update: (done, total) => {
      if (!started) {
        if (drawn.size === 0) guardTerminal();
        drawn.add(bar);
        bar.start(total, 0);
      }
      started = true;
      bar.update(done);
    },
    stop: () => stopBar(bar),
  };
}

/** Takes away what is drawn and gives the terminal back, whatever ended the work. */
export function stopBars(): void {
  for (const bar of drawn) stopBar(bar);
}

function stopBar(bar: SingleBar): void {
  if (!drawn.delete(bar)) return;
  bar.stop();
  if (drawn.size > 0) return;
  process.off('exit', stopBars);
  for (const signal of SIGNALS) process.off(signal, endBy);
}

/** While a bar is drawn no end of the process, but SIGKILL, leaves the terminal without a cursor. */
function guardTerminal(): void {
  process.on('exit', stopBars);
  for (const signal of SIGNALS) process.on(signal, endBy);
}

/** The process ends of the signal, as it would have without a bar. */
function endBy(signal: NodeJS.Signals): void {
  stopBars();
  process.kill(process.pid, signal);
}
