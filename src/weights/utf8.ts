/**
 * The text that the bytes are in UTF-8. Throws TypeError with the place if they are not.
 *
 * @param keepMark keep a byte order mark as U+FEFF; otherwise it is left out
 */
export function decodeUtf8(bytes: Uint8Array, { keepMark = false } = {}): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: keepMark }).decode(bytes);
  } catch {
    throw new TypeError(`is not UTF-8 text: wrong at byte ${firstWrongByte(bytes)}`);
  }
}

/** Found by bisection: a prefix can begin a text if and only if all shorter ones can. */
function firstWrongByte(bytes: Uint8Array): number {
  let good = 0;
  let bad = bytes.length + 1; // nothing is wrong but that the text ends inside a character
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (canBeginText(bytes.subarray(0, middle))) good = middle;
    else bad = middle;
  }
  return good;
}

function canBeginText(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}
