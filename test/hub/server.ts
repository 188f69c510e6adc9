// A local HTTP server whose answers a test writes, and what it was asked.

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface LocalServer {
  readonly url: string;
  /** "GET /path" of every request, in order, with its headers. */
  readonly requests: {
    readonly line: string;
    readonly headers: IncomingMessage['headers'];
    readonly body: string;
  }[];
}

export async function serve(
  answer: (request: IncomingMessage, response: ServerResponse, body: string) => void,
): Promise<LocalServer> {
  const requests: LocalServer['requests'][number][] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      requests.push({ line: `${request.method} ${request.url}`, headers: request.headers, body });
      answer(request, response, body);
    });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

const etags = new WeakMap<Buffer, string>();

function etagOf(content: Buffer): string {
  const etag = etags.get(content) ?? `"${createHash('md5').update(content).digest('hex')}"`;
  etags.set(content, etag);
  return etag;
}

/** Answers with a file as a good server does: ETag, one range, If-Range; `cutAfter` breaks the connection after so many bytes. */
export function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  content: Buffer,
  { etag = etagOf(content), cutAfter }: { etag?: string; cutAfter?: number } = {},
): void {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const from = Number(first ?? Number.NaN);
  const same = request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
  response.setHeader('ETag', etag);
  let part = content;
  if (!Number.isNaN(from) && same) {
    if (from >= content.length) {
      response.writeHead(416, { 'Content-Range': `bytes */${content.length}` }).end();
      return;
    }
    const end = last ? Math.min(Number(last) + 1, content.length) : content.length;
    part = content.subarray(from, end);
    response.statusCode = 206;
    response.setHeader('Content-Range', `bytes ${from}-${end - 1}/${content.length}`);
  }
  response.setHeader('Content-Length', part.length);
  if (cutAfter !== undefined && cutAfter < part.length) {
    response.write(part.subarray(0, cutAfter), () => setTimeout(() => response.destroy(), 20));
  } else {
    response.end(part);
  }
}
