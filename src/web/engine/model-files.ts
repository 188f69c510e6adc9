// Where a model's files come from: beside the page, the user's folder, a hub with what the browser keeps of it.

import { NoticeError } from '../../errors.ts';
import { opfsStore } from '../../platform/browser/opfs-store.ts';
import type { FileStore, StoredListing } from '../../weights/file-store.ts';
import { filesFolder, httpFolder, hubFolder, type ModelSource } from '../../weights/index.ts';
import type { ModelChoice } from '../protocol/session.ts';
import { pageFile } from './page-files.ts';
import type { Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

/**
 * The files of a model.
 *
 * @throws NoticeError('usage') if the hub has no such model or refuses it, ('network')
 */
export async function sourceOf(choice: ModelChoice, signal: AbortSignal): Promise<ModelSource> {
  if (choice.kind === 'embedded') return httpFolder(pageFile(`models/${choice.name}`));
  if (choice.kind === 'folder') return filesFolder(choice.files, choice.name);
  const { id, endpoint, token } = choice;
  return hubFolder(id, { endpoint, token, signal, cache: await storeIfAny() });
}

/** What the browser keeps of remote models, some of it forgotten before. */
export async function storedFiles(
  _session: Session,
  { forget }: { readonly forget?: string },
  _context: TaskContext<never>,
): Promise<readonly StoredListing[]> {
  const store = await storeIfAny();
  if (forget !== undefined) await store?.delete(forget);
  return (await store?.list()) ?? [];
}

/** A browser without a store loads models anew each time. */
async function storeIfAny(): Promise<FileStore | undefined> {
  try {
    return await opfsStore();
  } catch (error) {
    if (error instanceof NoticeError) return undefined;
    throw error;
  }
}
