import { NoticeError } from '../errors.ts';

/** @throws NoticeError('config') naming the file, if its text is not that of a JSON object */
export function parseJsonObject(text: string, file: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new NoticeError('config', `${file} is not valid JSON: ${(cause as Error).message}.`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new NoticeError('config', `${file}: expected a JSON object.`);
  }
  return value as Record<string, unknown>;
}
