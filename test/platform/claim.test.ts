import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rmdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { withClaim } from '../../src/platform/node/claim.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { failAfter } from '../support/failing-disk.ts';

test('one at a time, however many want it, and nothing is left', async () => {
  const folder = await freshFolder();
  const claim = join(folder, 'a/b/x.claim');
  const waits: string[] = [];
  let inside = 0;
  let most = 0;
  const work = async (n: number) => {
    most = Math.max(most, ++inside);
    await sleep(5);
    inside--;
    if (n === 2) throw new Error('two');
    return n;
  };
  const all = await Promise.allSettled(
    [0, 1, 2, 3].map((n) => withClaim(claim, () => work(n), { onWait: (owner) => waits.push(owner) })),
  );
  expect(all.map((one) => (one.status === 'fulfilled' ? one.value : one.reason.message))).toEqual([
    0,
    1,
    'two',
    3,
  ]);
  expect(most).toBe(1);
  expect(waits).toEqual(Array(3).fill(`process ${process.pid} on ${hostname()}`));
  expect(await readdir(join(folder, 'a/b'))).toEqual([]);
});

test('of a process that died on this machine: taken over at once, by one', async () => {
  const claim = join(await freshFolder(), 'x.claim');
  let text = '';
  await withClaim(claim, async () => {
    text = await readFile(claim, 'utf8');
  });
  const gone = execFile(process.execPath, ['-e', '']);
  await new Promise((done) => gone.on('close', done));
  await writeFile(claim, JSON.stringify({ ...JSON.parse(text), process: gone.pid, id: 'gone' }));
  let inside = 0;
  const work = async () => {
    expect(++inside).toBe(1);
    await sleep(5);
    inside--;
  };
  await Promise.all([0, 1, 2].map(() => withClaim(claim, work)));
  await expect(readFile(claim)).rejects.toThrow(/ENOENT/);
});

test('of another machine: taken over when it is no longer touched, also an empty one', async () => {
  const claim = join(await freshFolder(), 'x.claim');
  for (const text of ['{"host":"elsewhere","process":1,"id":"x"}', '{"host":']) {
    await writeFile(claim, text);
    const begun = performance.now();
    const touching = setInterval(() => utimes(claim, new Date(), new Date()).catch(() => {}), 20);
    setTimeout(() => clearInterval(touching), 600);
    let kept = false;
    setTimeout(async () => {
      kept = (await readFile(claim, 'utf8')) === text;
    }, 500);
    await withClaim(claim, async () => {}, { staleMs: 300 });
    expect(kept).toBe(true);
    expect(performance.now() - begun).toBeGreaterThan(500);
  }
});

test('a wait ends when the caller wants no more, and takes nothing away', async () => {
  const claim = join(await freshFolder(), 'x.claim');
  await writeFile(claim, '{"host":"elsewhere","process":1,"id":"x"}');
  const signal = AbortSignal.timeout(30);
  await expect(withClaim(claim, async () => {}, { signal })).rejects.toThrow(/abort|timeout/i);
  expect(await readFile(claim, 'utf8')).toContain('elsewhere');
});

test("a successor's claim is left to it", async () => {
  const folder = await freshFolder();
  const claim = join(folder, 'x.claim');
  await withClaim(claim, () => writeFile(claim, '{"host":"elsewhere","process":1,"id":"y"}'));
  expect(await readdir(folder)).toEqual(['x.claim']);
});

test('a folder that cannot hold one is an error, not a wait', async () => {
  const folder = await freshFolder();
  await mkdir(join(folder, 'x.claim'));
  const signal = AbortSignal.timeout(5000);
  await expect(withClaim(join(folder, 'x.claim'), async () => {}, { signal })).rejects.toThrow(/EISDIR/);
});

test.each(['ENOSPC', 'EIO'] as const)('%s while it is written leaves none', async (code) => {
  const folder = await freshFolder();
  const disk = failAfter(folder, 5, code);
  const file = join(folder, 'x.claim');
  const claimed = withClaim(file, async () => {});
  await expect(claimed.finally(() => disk.heal())).rejects.toMatchObject({
    code: 'file',
    message: expect.stringContaining(`${file} cannot be written: ${code}`),
  });
  expect(await readdir(folder)).toEqual([]);
});

test('the folder of claims may go with the last of them, also while others come', async () => {
  const folder = join(await freshFolder(), 'claims');
  const tidy = () => rmdir(folder).catch(() => {});
  const work = (n: number) => withClaim(join(folder, `${n % 3}.claim`), async () => {}).finally(tidy);
  await Promise.all(Array.from({ length: 9 }, (_, n) => work(n)));
  await expect(readdir(folder)).rejects.toThrow(/ENOENT/);
});

test('one that cannot be read is an error, not a wait', async () => {
  const folder = await freshFolder();
  // As of another user; root reads everything, so a loop of links stands for it.
  await symlink('x.claim', join(folder, 'x.claim'));
  const claimed = withClaim(join(folder, 'x.claim'), async () => {}, { signal: AbortSignal.timeout(5000) });
  await expect(claimed).rejects.toMatchObject({ code: 'file', message: expect.stringMatching(/ELOOP/) });
});
