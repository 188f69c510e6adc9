// One process at a time behind a claim file: made with exclusive creation, which NFS keeps, and touched while its owner lives.

import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, readlink, rename, rm, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { named } from './whole-file.ts';

export interface ClaimOptions {
  /** Called once if another process has the claim; `owner` says which. */
  readonly onWait?: (owner: string) => void;
  /** Ends the wait. */
  readonly signal?: AbortSignal;
  /** A claim that its owner has not touched for so long is taken over. Default 60 s. */
  readonly staleMs?: number;
}

/** What a claim file says. */
interface Owner {
  readonly id: string;
  readonly host: string;
  readonly process: number;
  readonly since: string;
}

/** A tenth of the time after which a claim is stale by default. */
const TOUCH_MS = 6_000;
const LOOK_MS = 200;

/**
 * Does `work` while no other process, on this machine or another that shares the folder, does work behind the same file;
 * waits for the one that does. The claim of a process that died is taken over: at once on the same machine, else when it
 * has not been touched for a minute. A process that was stopped for longer than that may then work beside its successor, so
 * what `work` writes needs a name of its own until it is whole, or the same bytes from both.
 *
 * @throws NoticeError('file') if the file cannot be written
 */
export async function withClaim<T>(
  file: string,
  work: () => Promise<T>,
  options: ClaimOptions = {},
): Promise<T> {
  const own: Owner = {
    id: randomUUID(),
    host: await machine(),
    process: process.pid,
    since: new Date().toISOString(),
  };
  await named(file, () => take(file, own, options));
  const touching = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => {});
  }, TOUCH_MS);
  touching.unref();
  try {
    return await work();
  } finally {
    clearInterval(touching);
    await named(file, async () => {
      if ((await look(file))?.owner?.id === own.id) await rm(file, { force: true });
    });
  }
}

async function take(file: string, own: Owner, options: ClaimOptions): Promise<void> {
  const { onWait, signal, staleMs = 60_000 } = options;
  let known = '';
  let since = 0;
  let told = false;
  while (!(await create(file, own))) {
    signal?.throwIfAborted();
    const seen = await look(file);
    if (!seen) continue;
    // Whether a claim is touched is seen by its own times: clocks of two machines need not agree.
    if (known !== seen.text + seen.touched) {
      known = seen.text + seen.touched;
      since = performance.now();
    }
    const dead = seen.owner?.host === own.host && !isAlive(seen.owner.process);
    if (dead || performance.now() - since > staleMs) {
      await takeAway(file, seen.text);
      continue;
    }
    if (!told) {
      const { host, process } = seen.owner ?? { host: 'unknown', process: '?' };
      onWait?.(`process ${process} on ${host.split(' ')[0]}`);
    }
    told = true;
    await sleep(LOOK_MS, undefined, { signal });
  }
}

async function create(file: string, own: Owner): Promise<boolean> {
  try {
    const handle = await open(file, 'wx');
    try {
      await handle.writeFile(JSON.stringify(own)).finally(() => handle.close());
    } catch (error) {
      await rm(file, { force: true }).catch(() => {}); // an empty one would keep others waiting
      throw error;
    }
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (code !== 'ENOENT') throw error;
    // The folder of claims went with the last of them.
    await mkdir(dirname(file), { recursive: true });
    return false;
  }
}

/** Undefined if there is none. */
async function look(
  file: string,
): Promise<{ text: string; touched: number; owner: Owner | undefined } | undefined> {
  const handle = await open(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (!handle) return undefined;
  try {
    const { mtimeMs: touched } = await handle.stat();
    const text = await handle.readFile('utf8');
    return { text, touched, owner: parse(text) };
  } finally {
    await handle.close();
  }
}

/** Undefined while it is being written. */
function parse(text: string): Owner | undefined {
  try {
    const owner = JSON.parse(text) as Owner;
    return typeof owner.host === 'string' ? owner : undefined;
  } catch {
    return undefined;
  }
}

/** Removes a stale claim; a fresh one that somebody put in its place meanwhile is put back. */
async function takeAway(file: string, text: string): Promise<void> {
  const away = `${file}.${randomUUID()}`;
  try {
    await rename(file, away);
    if ((await readFile(away, 'utf8')) !== text) await link(away, file);
  } catch {
    // Another process was first.
  } finally {
    await rm(away, { force: true });
  }
}

/** A host's name, and on Linux its space of process numbers: containers may share the name. */
async function machine(): Promise<string> {
  const space = await readlink('/proc/self/ns/pid').catch(() => '');
  return `${hostname()} ${space}`.trim();
}

function isAlive(process_: number): boolean {
  try {
    process.kill(process_, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
