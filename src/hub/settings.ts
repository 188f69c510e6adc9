// The hub's address and a token, as a user gives them.

import { NoticeError } from '../errors.ts';

export const DEFAULT_ENDPOINT = 'https://huggingface.co';

/**
 * An address without a slash at its end.
 *
 * @throws NoticeError usage: no http or https address, or one with a password; it is not quoted
 */
export function checkEndpoint(given: string): string {
  const endpoint = (given.trim() || DEFAULT_ENDPOINT).replace(/\/+$/, '');
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash)
    throw new NoticeError(
      'usage',
      "The hub's address (HF_ENDPOINT) must be http:// or https:// with a host, without a password.",
    );
  return endpoint;
}

/**
 * A token without white space around it; nothing for an empty one.
 *
 * @param from where it was found, for messages
 * @throws NoticeError usage: no token looks like that; it is not quoted
 */
export function checkToken(given: string | undefined, from = 'The token'): string | undefined {
  const token = given?.replace(/[\r\n]/g, '').trim();
  if (token && !/^hf_[\x21-\x7e]+$/.test(token))
    throw new NoticeError(
      'usage',
      `${from} must begin with "hf_" and hold no white space: it is no access token.`,
    );
  return token || undefined;
}
