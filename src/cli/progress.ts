import { Presets, SingleBar } from 'cli-progress';
import { duration } from './plan.ts';

/** Bars that are drawn: the cursor is hidden, and a timer redraws them. */
const drawn = new Set<SingleBar>();

/** What ends a process unless it is listened to. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Without a terminal a line at most this often. */
const LINE_MS = 60_000;

export interface ProgressBar {
  /** @param done may be a fraction: parts of a step that are done */
  update(done: number, total: number): void;
  stop(): void;
}

/** A progress bar on stderr; where that is no terminal a line a minute. Time left counts from the first update. */
export function progressBar(unit: string): ProgressBar {
  return process.stderr.isTTY ? drawnBar(unit) : progressLines(unit);
}

function drawnBar(unit: string): ProgressBar {
  const format = `{bar} {percentage}% · {whole}/{total} ${unit} · {eta_formatted} left`;
  const bar = new SingleBar({ format, clearOnComplete: true, hideCursor: true }, Presets.shades_classic);
  let started = false;
  return {
    update: (done, total) => {
      const whole = { whole: Math.floor(done) };
      if (!started) {
        if (drawn.size === 0) guardTerminal();
        drawn.add(bar);
        bar.start(total, 0, whole);
      }
      started = true;
      bar.update(done, whole);
    },
    stop: () => stopBar(bar),
  };
}

function progressLines(unit: string): ProgressBar {
  let first: { readonly time: number; readonly done: number } | undefined;
  let last = 0;
  return {
    update: (done, total) => {
      const time = performance.now();
      if (!first) {
        first = { time, done };
        last = time;
      }
      if (time - last < LINE_MS || done >= total) return;
      last = time;
      const rate = (done - first.done) / (time - first.time);
      const left = rate > 0 ? `, about ${duration((total - done) / rate / 1000)} left` : '';
      console.error(`${Math.floor((100 * done) / total)} % of ${total} ${unit}${left}`);
    },
    stop: () => {},
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

/** Until it is taken back, Ctrl-C says this before it ends the process. */
export function sayOnInterrupt(line: string): () => void {
  const end = (): void => {
    process.off('SIGINT', end);
    stopBars();
    console.error(line);
    process.kill(process.pid, 'SIGINT');
  };
  process.prependListener('SIGINT', end);
  return () => process.off('SIGINT', end);
}
