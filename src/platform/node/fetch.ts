// `fetch` that reads the proxy variables as Python's clients do, which Node's own does not.

import { NoticeError } from '../../errors.ts';
import type { Fetch } from '../../hub/index.ts';
import { peer } from './peer.ts';

let connections: { readonly key: string; readonly send: Fetch } | undefined;

/**
 * `fetch` through the proxies that http_proxy, https_proxy, all_proxy and no_proxy name, in small letters or capitals.
 * @throws NoticeError usage: a proxy variable that is no address
 */
export const nodeFetch: Fetch = async (url, init) => {
  const http = proxyFor('http');
  const https = proxyFor('https');
  const noProxy = variable('no_proxy') ?? '';
  const key = JSON.stringify([http, https, noProxy]);
  const { send } = connections?.key === key ? connections : { send: await connect(http, https, noProxy) };
  connections = { key, send };
  return send(url, init);
};

/** Small letters go first, as in Python and curl; an empty one switches the other off. */
function variable(name: string): string | undefined {
  return process.env[name] ?? process.env[name.toUpperCase()];
}

function proxyFor(scheme: 'http' | 'https'): string | undefined {
  const name = `${scheme}_proxy`;
  const value = (variable(name) ?? variable('all_proxy'))?.trim();
  if (!value) return undefined;
  const address = value.includes('://') ? value : `http://${value}`;
  if (!/^(https?|socks5?):/i.test(address) || !URL.canParse(address))
    // The value is not quoted: it may hold a password.
    throw new NoticeError('usage', `${name} (or all_proxy) is no address of an http, https or socks5 proxy.`);
  return address;
}

async function connect(http: string | undefined, https: string | undefined, noProxy: string): Promise<Fetch> {
  const { Agent, EnvHttpProxyAgent, fetch } = await peer(
    'undici',
    'HTTP through proxies',
    () => import('undici'),
  );
  // The silence of a server is for the caller to judge. Plain http is not tunnelled: few proxies would let it through.
  const options = { headersTimeout: 0, bodyTimeout: 0, proxyTunnel: false };
  const agent = (proxy: string | undefined) =>
    proxy
      ? new EnvHttpProxyAgent({ ...options, httpProxy: proxy, httpsProxy: proxy, noProxy })
      : new Agent(options);
  const agents = { 'http:': agent(http), 'https:': agent(https) };
  return async (url, init) => {
    const dispatcher = agents[new URL(url).protocol as keyof typeof agents];
    // The same interfaces, declared twice.
    const response: unknown = await fetch(url, { ...(init as object), dispatcher });
    return response as Response;
  };
}
