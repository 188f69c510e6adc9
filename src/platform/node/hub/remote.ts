// A model of the hub whose files are read where they lie, for what needs few bytes of them.

import { existsSync } from 'node:fs';
import { isModelId, splitRevision } from '../../../hub/index.ts';
import { type HubFolder, hubFolder } from '../../../weights/index.ts';
import { nodeFetch } from '../fetch.ts';
import { hubEndpoint, hubOffline, hubSilenceMs, hubToken } from './environment.ts';

/** Whether a name can stand for a model of the hub that is not here. */
export function mayBeRemote(name: string): boolean {
  return !hubOffline() && !existsSync(name) && isModelId(splitRevision(name).id);
}

/** `hubFolder` with the address, token, proxies and patience that `notice pull` has. Throws as it does. */
export async function remoteModel(id: string): Promise<HubFolder> {
  const token = await hubToken();
  const silenceMs = hubSilenceMs();
  return hubFolder(id, {
    endpoint: hubEndpoint(),
    token: token ?? '',
    fetch: nodeFetch,
    ...(silenceMs !== undefined && { silenceMs }),
  });
}
