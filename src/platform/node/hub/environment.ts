// The variables of huggingface_hub, read as it reads them (its constants.py and utils/_auth.py, 2.4), but for one thing: an
// empty variable counts as one that is not set, where Python would use a folder beneath the working directory.

import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { NoticeError } from '../../../errors.ts';
import { checkEndpoint, checkToken, DEFAULT_ENDPOINT } from '../../../hub/index.ts';

/** The hub's address, without a slash at its end: HF_ENDPOINT, else https://huggingface.co. */
export function hubEndpoint(given = process.env.HF_ENDPOINT): string {
  return checkEndpoint(given ?? DEFAULT_ENDPOINT);
}

/** The cache's folder: HF_HUB_CACHE, else hub/ in HF_HOME, which is ~/.cache/huggingface. */
export function hubCacheFolder(): string {
  return variable('HF_HUB_CACHE') ?? variable('HUGGINGFACE_HUB_CACHE') ?? join(hubHome(), 'hub');
}

function hubHome(): string {
  const cache = () => variable('XDG_CACHE_HOME') ?? join(homedir(), '.cache');
  return variable('HF_HOME') ?? join(cache(), 'huggingface');
}

/** HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE. */
export function hubOffline(): boolean {
  return isTrue(process.env.HF_HUB_OFFLINE || process.env.TRANSFORMERS_OFFLINE);
}

/** HF_HUB_DOWNLOAD_TIMEOUT in milliseconds. */
export function hubSilenceMs(): number | undefined {
  const seconds = Number(process.env.HF_HUB_DOWNLOAD_TIMEOUT || Number.NaN);
  return seconds > 0 ? seconds * 1000 : undefined;
}

/**
 * The access token: `given`, else HF_TOKEN, else what `hf auth login` keeps (HF_TOKEN_PATH), without white space around it.
 * @throws NoticeError usage: no token looks like that; the message does not quote it
 */
export async function hubToken(given?: string): Promise<string | undefined> {
  return checkToken(...(await findToken(given)));
}

async function findToken(given: string | undefined): Promise<[token: string | undefined, from: string]> {
  if (given !== undefined) return [given, 'The token'];
  if (isTrue(process.env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return [undefined, ''];
  const set = process.env.HF_TOKEN || process.env.HUGGING_FACE_HUB_TOKEN;
  if (set?.trim()) return [set, 'HF_TOKEN'];
  const file = variable('HF_TOKEN_PATH') ?? join(hubHome(), 'token');
  return [await readFile(file, 'utf8').catch(() => undefined), file];
}

const isTrue = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? '');

/** A variable that is a path: "~", "$NAME" and "${NAME}", which no shell may have seen, stand for what they do there. */
function variable(name: string): string | undefined {
  const value = process.env[name];
  if (!value) return undefined;
  const [, user] = /^~([^/\\]*)/.exec(value) ?? [];
  if (user) throw new NoticeError('usage', `${name} begins with "~${user}"; give the whole path.`);
  const home = user === '' ? homedir() + value.slice(1) : value;
  return home.replace(/\$(\w+|\{[^}]*\})/g, (text, key: string) => {
    return process.env[key.replace(/^\{(.*)\}$/, '$1')] ?? text;
  });
}
