// Serves a folder on this machine alone.

import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import sirv from 'sirv';
import { NoticeError } from '../errors.ts';

/** Other machines do not reach it. Browsers offer WebGPU to http://localhost and 127.0.0.1 as to https. */
const LOOPBACK = '127.0.0.1';

export interface StaticServer {
  readonly address: string;
  close(): Promise<void>;
}

/**
 * @param port 0 for any that is free
 * @param base path that the folder is served under, `/` or `/notice/`
 * @param others folders that stand in for those of the folder that are not there, by name
 * @throws NoticeError('usage') if the port cannot be had
 */
export async function serveFolder(
  folder: string,
  port = 0,
  base = '/',
  others: Readonly<Record<string, string>> = {},
): Promise<StaticServer> {
  const policy = contentPolicy(join(folder, 'index.html'));
  const files = sirv(folder, {
    etag: true,
    setHeaders: (response) => {
      if (policy) response.setHeader('Content-Security-Policy', policy);
    },
  });
  const mounts = Object.entries(others).map(([name, path]) => ({
    at: `/${name}`,
    files: sirv(path, { etag: true }),
  }));
  const server = createServer((request, response) => {
    const missing = () => {
      response.statusCode = 404;
      response.end('not found');
    };
    const { url = '/' } = request;
    if (!url.startsWith(base)) return missing();
    request.url = `/${url.slice(base.length)}`;
    files(request, response, () => {
      const mount = mounts.find(({ at }) => request.url?.startsWith(`${at}/`));
      if (!mount) return missing();
      request.url = request.url?.slice(mount.at.length);
      mount.files(request, response, missing);
    });
  });
  await listening(server, port);
  const { port: given } = server.address() as AddressInfo;
  return {
    address: `http://${LOOPBACK}:${given}${base}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The policy in a page's <meta>, which workers do not inherit: they have that of their own script's answer. */
function contentPolicy(page: string): string | undefined {
  if (!existsSync(page)) return undefined;
  return /http-equiv="Content-Security-Policy"\s+content="([^"]*)"/.exec(readFileSync(page, 'utf8'))?.[1];
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        new NoticeError(
          'usage',
          cause.code === 'EADDRINUSE'
            ? `port ${port} is taken: name another by --port, or leave it out`
            : `port ${port} cannot be opened: ${cause.message}`,
          { cause },
        ),
      ),
    );
    server.listen(port, LOOPBACK, resolve);
  });
}
