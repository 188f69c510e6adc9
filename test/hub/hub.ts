// A hub on loopback: what the API answers to the requests that a pull makes.

import { createHash, type Hash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type LocalServer, sendFile, serve } from './server.ts';

export const COMMIT = 'a'.repeat(40);

/** A repository's files as the hub keeps them: large ones in LFS by SHA-256, others by git's SHA-1. */
export type Files = Readonly<Record<string, Buffer>>;
const inLfs = (path: string) => path.endsWith('.safetensors') || path.endsWith('.bin');

export const sha256 = hashed((content) => createHash('sha256').update(content));
export const gitSha1 = hashed((content) =>
  createHash('sha1').update(`blob ${content.length}\0`).update(content),
);

/** Large files serve several tests. */
function hashed(hash: (content: Buffer) => Hash): (content: Buffer) => string {
  const known = new WeakMap<Buffer, string>();
  return (content) => {
    const digest = known.get(content) ?? hash(content).digest('hex');
    known.set(content, digest);
    return digest;
  };
}

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  json(value: unknown, status?: number): void;
}

/** The two answers of the API, before a test changes them. */
export interface Answers {
  model: unknown;
  list: unknown;
}

export interface Behaviour {
  readonly id?: string;
  readonly token?: string;
  readonly pageSize?: number;
  readonly content?: (path: string, content: Buffer) => Buffer;
  readonly cutAfter?: () => number | undefined;
  readonly answers?: (answers: Answers) => Partial<Answers>;
  /** Answers itself and returns true, or leaves it to the hub. */
  readonly first?: (exchange: Exchange) => boolean;
}

export interface Entry {
  type: string;
  path: string;
  size: number;
  oid: string;
  lfs?: { oid: string; size: number; pointerSize: number };
}

export async function hub(files: Files, behaviour: Behaviour = {}): Promise<LocalServer> {
  const { id = 'org/tiny' } = behaviour;
  const entries = Object.entries(files).map(([path, content]) => ({
    type: 'file',
    path,
    size: content.length,
    oid: gitSha1(content),
    ...(inLfs(path) && { lfs: { oid: sha256(content), size: content.length, pointerSize: 130 } }),
  }));
  const answers: Answers = {
    model: { _id: '1', id, sha: COMMIT, lastModified: '2024-01-01T00:00:00.000Z' },
    list: [{ type: 'directory', path: 'onnx', size: 0, oid: 'x' }, ...entries],
  };
  const { model, list } = { ...answers, ...behaviour.answers?.(structuredClone(answers)) };
  const resolve = `/${id}/resolve/${COMMIT}/`;
  const server: LocalServer = await serve((request, response) => {
    const url = new URL(request.url as string, server.url);
    const json = (value: unknown, status = 200) =>
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
    if (behaviour.first?.({ request, response, url, json })) return;
    const path = decodeURIComponent(url.pathname.slice(resolve.length));
    if (behaviour.token && request.headers.authorization !== `Bearer ${behaviour.token}`) {
      json({ error: 'Invalid username or password.' }, 401);
    } else if (new RegExp(`^/api/models/${id}/revision/(main|v1|[0-9a-f]{40})$`).test(url.pathname)) {
      json(model);
    } else if (url.pathname === `/api/models/${id}/tree/${COMMIT}`) {
      if (!Array.isArray(list)) return json(list);
      const from = Number(url.searchParams.get('cursor') ?? 0);
      const to = from + (behaviour.pageSize ?? 1000);
      if (to < list.length)
        response.setHeader('Link', `<${server.url}${url.pathname}?cursor=${to}>; rel="next"`);
      json(list.slice(from, to));
    } else if (url.pathname.startsWith(resolve) && files[path]) {
      const content = files[path];
      const cutAfter = inLfs(path) ? behaviour.cutAfter?.() : undefined;
      sendFile(
        request,
        response,
        behaviour.content?.(path, content) ?? content,
        cutAfter ? { cutAfter } : {},
      );
    } else {
      json({ error: 'Repository not found' }, 404);
    }
  });
  return server;
}
