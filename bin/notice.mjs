#!/usr/bin/env node
import { existsSync } from 'node:fs';

const main = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(main)) {
  const { run } = await import(main.href);
  await run(process.argv);
} else {
  console.error('notice is not built yet: run `npm ci` (or `npm run build`) in its folder.');
  process.exitCode = 1;
}
