import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Headers = Record<string, string | number>;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly content: Uint8Array;
  readonly begin: number;
  readonly end: number;
  send(status: number, headers?: Headers, body?: Uint8Array): void;
}

const range = ({ begin, end, content }: Exchange) => `bytes ${begin}-${end - 1}/${content.length}`;

function good(exchange: Exchange): void {
  const { content, begin, end, send } = exchange;
  if (begin >= content.length) send(416, { 'content-range': `bytes */${content.length}` });
  else send(206, { 'content-range': range(exchange) }, content.subarray(begin, end));
}

/** Good at a file's beginning, which is what opening asks for, and bad after it. */
function later(bad: (exchange: Exchange) => void): (exchange: Exchange) => void {
  return (exchange) => (exchange.begin === 0 ? good : bad)(exchange);
}

let flaws = 0;

const BEHAVIOURS: Readonly<Record<string, (exchange: Exchange) => void>> = {
  good,
  page: ({ send }) =>
    send(200, { 'content-type': 'text/html; charset=utf-8' }, Buffer.from('<!doctype html>')),
  forbidden: ({ send }) => send(403),
  busy: ({ send }) => send(429, { 'retry-after': 0 }),
  rangeless: ({ send }) => send(416),
  other: later(({ content, send }) =>
    send(200, { 'content-length': content.length + 1 }, Buffer.concat([content, Buffer.of(0)])),
  ),
  versions: (exchange) => {
    exchange.response.setHeader('etag', exchange.begin === 0 ? '"1"' : '"2"');
    good(exchange);
  },
  /** Every second answer breaks off in the middle. */
  flaky: later((exchange) => {
    const { response, content, begin, end } = exchange;
    flaws++;
    if (flaws % 2 === 0) return good(exchange);
    response.writeHead(206, { 'content-range': range(exchange), 'content-length': end - begin });
    response.write(content.subarray(begin, Math.floor((begin + end) / 2)), () =>
      setTimeout(() => response.destroy(), 5),
    );
  }),
  crumbs: later((exchange) => {
    const { response, content, begin, end } = exchange;
    response.writeHead(206, { 'content-range': range(exchange) });
    const next = (at: number) => {
      if (at >= end) response.end();
      else response.write(content.subarray(at, Math.min(end, at + 30_001)), () => next(at + 30_001));
    };
    next(begin);
  }),
  plain: ({ content, send }) => send(200, { 'content-length': content.length }, content),
  giant: ({ response, content }) => {
    response.writeHead(200, { 'content-length': 10 * 2 ** 30 });
    response.write(content);
  },
  endless: ({ response }) => {
    const block = Buffer.alloc(1 << 20);
    const pump = () => {
      while (!response.destroyed && response.write(block));
      if (!response.destroyed) response.once('drain', pump);
    };
    response.writeHead(200);
    pump();
  },
  overfull: later((exchange) => {
    const { response } = exchange;
    response.writeHead(206, { 'content-range': range(exchange) });
    const pump = () => {
      while (!response.destroyed && response.write(Buffer.alloc(1 << 20)));
      if (!response.destroyed) response.once('drain', pump);
    };
    pump();
  }),
  silent: later(() => {}),
  stuck: later((exchange) => {
    exchange.response.writeHead(206, { 'content-range': range(exchange) }).write('x');
  }),
  secret: (exchange) => {
    if (exchange.request.headers.authorization === 'Bearer token') good(exchange);
    else exchange.send(401);
  },
  unnamed: ({ content, begin, end, send }) => send(206, {}, content.subarray(begin, end)),
  whole: later(({ content, send }) => send(200, {}, content)),
  changing: later((exchange) =>
    good({ ...exchange, content: Buffer.concat([exchange.content, Buffer.of(0)]) }),
  ),
  shifted: later((exchange) => good({ ...exchange, begin: 0 })),
  short: later((exchange) => {
    const body = exchange.content.subarray(exchange.begin + 1, exchange.end);
    exchange.send(206, { 'content-range': range(exchange) }, body);
  }),
  breaking: later((exchange) => {
    const { response, content, begin, end } = exchange;
    response.writeHead(206, { 'content-range': range(exchange), 'content-length': end - begin });
    response.write(content.subarray(begin, begin + 10), () => response.destroy());
  }),
};

export interface FileServer {
  readonly url: string;
  /** The Range header of every request so far. */
  readonly ranges: string[];
  close(): void;
}

/** Serves `files` under /{behaviour}/{file}. */
export async function serveFiles(files: Readonly<Record<string, Uint8Array>>): Promise<FileServer> {
  const ranges: string[] = [];
  const server = createServer((request, response) => {
    const [, behaviour, file] = request.url!.split('/');
    const asked = request.headers.range ?? '';
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(asked) ?? [];
    ranges.push(asked);
    const send: Exchange['send'] = (status, headers, body) => {
      response.writeHead(status, headers);
      response.end(body);
    };
    const content = files[file!];
    if (!content) return send(404);
    const end = Math.min(Number(last) + 1, content.length);
    BEHAVIOURS[behaviour!]!({ request, response, content, begin: Number(first), end, send });
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ranges,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
