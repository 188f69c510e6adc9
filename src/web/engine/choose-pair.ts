// The task that prepares a pair for the open model.

import type { PairInfo, PairSpec } from '../protocol/session.ts';
import { prepareRuns, type SessionPair } from './pair.ts';
import { picturesOf } from './pictures.ts';
import type { Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

/** @throws NoticeError('image') for a picture, ('text') for a question that cannot be used */
export async function choosePair(
  session: Session,
  spec: PairSpec,
  { signal }: TaskContext<never>,
): Promise<PairInfo> {
  const { shown, prepared } = await read(session, spec, signal);
  session.usePair(prepared);
  return { ...prepared.info, pictures: shown };
}

/** A pair beside the one that is looked at. @throws as {@link choosePair} */
export async function readPair(session: Session, spec: PairSpec, signal: AbortSignal): Promise<SessionPair> {
  return (await read(session, spec, signal)).prepared;
}

async function read(session: Session, spec: PairSpec, signal: AbortSignal) {
  const { reader, shown } = await picturesOf(spec, signal);
  const prepared = await prepareRuns(session.opened, spec, reader, signal);
  signal.throwIfAborted();
  return { shown, prepared };
}
