// A model repository of the Hugging Face hub as a model folder: its files are listed once, and read by range requests.

import { NoticeError } from '../errors.ts';
import {
  authorization,
  checkEndpoint,
  checkRevision,
  checkToken,
  DEFAULT_ENDPOINT,
  explainRefusal,
  fileAddress,
  isModelId,
  neededFiles,
  noWeights,
  pipelineFiles,
  type RepositoryFile,
  readRepository,
  splitRevision,
} from '../hub/index.ts';
import type { ByteSource } from './byte-source.ts';
import { type HttpSourceOptions, type RemoteFolder, remoteFolder } from './http-source.ts';

export interface HubFolderOptions
  extends Pick<
    HttpSourceOptions,
    'attempts' | 'cache' | 'fetch' | 'maxWholeBytes' | 'pauseMs' | 'signal' | 'silenceMs'
  > {
  /**
   * Access token, for gated and private models. It goes to the endpoint's origin alone and is kept nowhere. Default HF_TOKEN of the
   * environment where there is one (Node).
   */
  readonly token?: string | undefined;
  /** The hub's address. Default HF_ENDPOINT of the environment, else https://huggingface.co. */
  readonly endpoint?: string | undefined;
}

export interface HubFolder extends RemoteFolder {
  readonly id: string;
  /** What the revision stands for. */
  readonly commit: string;
  /** All files of the repository, by path. */
  readonly files: ReadonlyMap<string, RepositoryFile>;
}

/**
 * Lists the files of a model, "owner/name" or "owner/name@revision" (default main), without reading any. The commit is that of
 * now: what is read later is of the same.
 *
 * @throws NoticeError usage: no such model or revision, no access; weights: no safetensors; NetworkError: the hub cannot be
 *   reached, or is none
 */
export async function hubFolder(model: string, options: HubFolderOptions = {}): Promise<HubFolder> {
  const { id, revision } = splitRevision(model);
  if (!isModelId(id)) throw new NoticeError('usage', `"${id}" is no model id; expected owner/name.`);
  checkRevision(revision);
  const { token: given, attempts, fetch, pauseMs, signal, silenceMs, cache, maxWholeBytes } = options;
  const endpoint = checkEndpoint(options.endpoint ?? variable('HF_ENDPOINT') ?? DEFAULT_ENDPOINT);
  const token = given === undefined ? checkToken(variable('HF_TOKEN'), 'HF_TOKEN') : checkToken(given);
  const http = defined({ attempts, fetch, pauseMs, signal, silenceMs });
  const { commit, files } = await explainRefusal(model, endpoint, () =>
    readRepository(id, revision, { ...http, endpoint, token }),
  );
  if (!neededFiles(files.keys()).weights && !pipelineFiles(files.keys()))
    throw noWeights(model, [...files.keys()]);
  const find = (path: string) => {
    const file = files.get(path);
    return (
      file && { url: fileAddress(endpoint, id, commit, path), known: { size: file.size, tag: file.hash } }
    );
  };
  const headers = authorization(token);
  const source = { ...http, ...defined({ cache, maxWholeBytes }), headers };
  const folder = remoteFolder(`${endpoint}/${id}@${commit}`, source, find, `${endpoint}/${id}`);
  const explain = <T>(ask: () => Promise<T>) => explainRefusal(model, endpoint, ask);
  return { ...explained(folder, explain), id, commit, files };
}

/** A folder of which a refusal (a gated model's files, whose list is open) says what it means. */
function explained(folder: RemoteFolder, explain: <T>(ask: () => Promise<T>) => Promise<T>): RemoteFolder {
  return {
    ...folder,
    async open(path) {
      const bytes = await explain(() => folder.open(path));
      const read: ByteSource['read'] = (offset, length) => explain(() => bytes!.read(offset, length));
      return bytes && { ...bytes, read };
    },
    keptIn: (cache) => explained(folder.keptIn(cache), explain),
  };
}

/** A variable of the environment, where there is one. */
function variable(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.[name] || undefined;
}

/** An object without the fields that are undefined. */
function defined<T extends object>(given: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as T;
}
