// In the process of the tests: collects which marked places each test comes past, and how long it takes. What is passed
// outside of tests (when modules are loaded, in beforeAll) counts for every test of the file.

import { appendFileSync } from 'node:fs';
import { relative } from 'node:path';
import { afterAll, afterEach, beforeEach } from 'vitest';
import type { Reached } from './choose.ts';

const target = process.env.MUTANTS_REACHED;

if (target) {
  const passed = new Set<number>();
  (globalThis as { reached?: (id: number) => void }).reached = (id) => passed.add(id);
  const take = () => {
    const ids = [...passed];
    passed.clear();
    return ids;
  };
  const outside = new Set<number>();
  const tests: Record<string, { ids: number[]; seconds: number; ok: boolean }> = {};
  const loaded = performance.now();
  let started = 0;
  let path = '';
  beforeEach(({ task }) => {
    path = task.file.filepath;
    for (const id of take()) outside.add(id);
    started = performance.now();
  });
  afterEach(({ task }) => {
    const seconds = (performance.now() - started) / 1000;
    tests[task.id] = { ids: take(), seconds, ok: task.result?.state !== 'fail' };
  });
  afterAll(() => {
    for (const id of take()) outside.add(id);
    const seconds = (performance.now() - loaded) / 1000;
    const found: Reached = { file: relative(process.cwd(), path), outside: [...outside], tests, seconds };
    if (path) appendFileSync(target, `${JSON.stringify(found)}\n`);
  });
}
