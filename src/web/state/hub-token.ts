// The hub's access token: kept in this browser only where that is asked for.

const KEY = 'notice-hub-token';

/** The token that is kept, if one is. */
export function keptToken(): string {
  try {
    return localStorage.getItem(KEY) ?? '';
  } catch {
    return '';
  }
}

/** Keeps a token, or forgets the one that was. @returns whether it is kept */
export function keepToken(token: string | undefined): boolean {
  try {
    if (token) localStorage.setItem(KEY, token);
    else localStorage.removeItem(KEY);
    return Boolean(token);
  } catch {
    return false;
  }
}
