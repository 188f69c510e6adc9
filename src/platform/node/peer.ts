// Packages that the library needs in Node only. It does not bring them, so that they are in no browser app's node_modules:
// notice-webgpu-cli does.

import { NoticeError } from '../../errors.ts';

/**
 * What a package exports, loaded when it is first needed.
 *
 * @param load an `import()` of the package, in the caller's words, so that bundlers and types follow it
 * @param purpose what it is needed for, as the message says it: "Decoding images"
 * @throws NoticeError usage: the package is not installed; the message says how to install it
 */
export async function peer<T>(name: string, purpose: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes(`'${name}'`)) throw cause;
    throw new NoticeError(
      'usage',
      `${purpose} in Node needs the package ${name}, which is not installed: npm install ${name}. notice-webgpu-cli brings it.`,
      { cause },
    );
  }
}
