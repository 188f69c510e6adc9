// However a command ends: the terminal is as it was, and what could not be said is an error.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { progressBar, sayOnInterrupt, stopBars } from '../../src/cli/progress.ts';
import { ROOT, useBuilt } from './support.ts';

useBuilt();

describe('a bar on a terminal', () => {
  const isTerminal = process.stderr.isTTY;
  let written = '';

  beforeEach(() => {
    written = '';
    vi.useFakeTimers();
    process.stderr.isTTY = true;
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      written += text;
      return true;
    });
  });
  afterEach(() => {
    stopBars();
    process.stderr.isTTY = isTerminal;
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  const hidden = () => written.lastIndexOf('\u001b[?25l') > written.lastIndexOf('\u001b[?25h');
  const wrapped = () => written.lastIndexOf('\u001b[?7l') <= written.lastIndexOf('\u001b[?7h');
  const begin = () => {
    progressBar('questions').update(1, 3);
    expect(hidden()).toBe(true);
    expect(vi.getTimerCount()).toBe(1);
  };
  const expectRestored = () => {
    expect([hidden(), wrapped()]).toEqual([false, true]);
    expect(vi.getTimerCount()).toBe(0); // one would keep the process alive
  };

  test('that an error leaves behind', () => {
    begin();
    stopBars();
    expectRestored();
  });

  test('Ctrl-C says how to go on, once the bar is gone', () => {
    vi.spyOn(process, 'kill').mockReturnValue(true);
    const said = vi.spyOn(console, 'error').mockImplementation(() => expectRestored());
    const takeBack = sayOnInterrupt('the same command goes on');
    begin();
    process.emit('SIGINT', 'SIGINT');
    expect(said.mock.calls).toEqual([['the same command goes on']]);
    takeBack();
  });

  test('fractions of a step move the bar', () => {
    const bar = progressBar('parts');
    bar.update(0, 4);
    bar.update(1.5, 4);
    vi.advanceTimersByTime(1000);
    expect(written).toMatch(/37% · 1\/4 parts/);
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    '%s restores the terminal, and ends as ever',
    (signal) => {
      const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
      const listeners = process.listenerCount(signal);
      begin();
      process.emit(signal, signal);
      expectRestored();
      expect(kill).toHaveBeenCalledWith(process.pid, signal);
      expect(process.listenerCount(signal)).toBe(listeners); // the second one ends the process
    },
  );

  test('process.exit and uncaught errors', () => {
    const before = process.listeners('exit');
    begin();
    const [own] = process.listeners('exit').filter((listener) => !before.includes(listener));
    (own as () => void)();
    expectRestored();
    expect(process.listeners('exit')).toEqual(before);
  });

  test('that is stopped listens to nothing', () => {
    const counts = () => ['exit', 'SIGINT', 'SIGTERM', 'SIGHUP'].map((name) => process.listenerCount(name));
    const before = counts();
    const bar = progressBar('questions');
    bar.update(1, 3);
    bar.update(2, 3);
    bar.stop();
    expect(counts()).toEqual(before);
    expectRestored();
  });
});

/** `notice` with its stdout in a file or pipe. */
async function ending(
  args: readonly string[],
  stdout: 'pipe' | number,
): Promise<{ status: number; stderr: string }> {
  const child = spawn(process.execPath, [join(ROOT, 'bin/notice.mjs'), ...args], {
    stdio: ['ignore', stdout, 'pipe'],
  });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout?.destroy();
  const [status] = await once(child, 'close');
  return { status: status as number, stderr };
}

test.runIf(existsSync('/dev/full'))('an answer that does not fit on the disk', async () => {
  const full = openSync('/dev/full', 'w');
  try {
    for (const args of [['--help'], ['frobnicate']]) {
      const { status, stderr } = await ending(args, full);
      const lost = args[0] === '--help';
      expect(status, args[0]).toBe(lost ? 1 : 2);
      expect(stderr).toMatch(lost ? /^notice: stdout cannot be written: ENOSPC/ : /^error: unknown command/);
    }
  } finally {
    closeSync(full);
  }
});

test('a pipe that nobody reads to its end is no error', async () => {
  expect(await ending(['run', '--help'], 'pipe')).toEqual({ status: 0, stderr: '' });
});

test('without a terminal there is a line a minute, with the time left', () => {
  const isTerminal = process.stderr.isTTY;
  process.stderr.isTTY = false;
  vi.useFakeTimers({ toFake: ['performance'] });
  const said = vi.spyOn(console, 'error').mockImplementation(() => {});
  try {
    const bar = progressBar('questions of scenes');
    bar.update(0, 240);
    for (let done = 1; done < 240; done++) {
      vi.advanceTimersByTime(1000);
      bar.update(done, 240);
    }
    expect(said.mock.calls.map(([line]) => line)).toEqual([
      '25 % of 240 questions of scenes, about 3.0 min left',
      '50 % of 240 questions of scenes, about 2.0 min left',
      '75 % of 240 questions of scenes, about 60 s left',
    ]);
  } finally {
    process.stderr.isTTY = isTerminal;
    vi.restoreAllMocks();
    vi.useRealTimers();
  }
});
