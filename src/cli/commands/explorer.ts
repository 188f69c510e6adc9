import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { NoticeError } from '../../errors.ts';
import { PACKAGE } from '../embedded.ts';
import { integer } from '../options.ts';
import { serveFolder } from '../static-server.ts';

export function explorerCommand(program: Command): void {
  program
    .command('explorer')
    .description('Serves the explorer, a page that opens models and patches them, on this machine alone.')
    .option('--port <number>', '0 for any that is free', integer, 0)
    .addHelpText('after', '\nExample:\n  notice explorer --port 8080')
    .action(({ port }: { port: number }) => explorer(port));
}

async function explorer(port: number): Promise<void> {
  const folder = join(PACKAGE, 'dist/explorer');
  if (!existsSync(join(folder, 'index.html')))
    throw new NoticeError('file', `${folder} holds no page: run \`npm run build:explorer\` in ${PACKAGE}`);
  // A package does not hold models and data twice.
  const others = { models: join(PACKAGE, 'weights'), data: join(PACKAGE, 'data') };
  const server = await serveFolder(folder, port, '/', others);
  console.log(`The explorer is at ${server.address} (Ctrl-C ends it)`);
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  await server.close();
}
