// A user's WGSL is compiled by itself before it becomes part of a kernel, so that the message speaks of the user's lines.

import { abortable, signalsOf } from '../abort.ts';
import { compilerMessages, type Gpu, ShaderError } from '../gpu/index.ts';

const SIGNATURE = 'fn edit(value: f32, batch: u32, position: u32, head: u32, feature: u32) -> f32 {';

/** As the kernel has it, and in a block of its own: text that ends `edit` to declare more fits only one of them. */
const FORMS = [
  [SIGNATURE, '}'],
  [`${SIGNATURE} {`, '} }'],
] as const;

/**
 * @param hook its WGSL: statements of `edit`
 * @throws ShaderError with line, text and the compiler's message if it does not compile; DeviceLostError; the signal's reason
 */
export async function checkSnippet(
  gpu: Gpu,
  { hook, wgsl }: { readonly hook: string; readonly wgsl: string },
  signal?: AbortSignal,
): Promise<void> {
  const signals = signalsOf(gpu.lost, signal);
  for (const [head, tail] of FORMS)
    await abortable(checkModule(gpu, hook, `${head}\n${wgsl}\n${tail}\n`), signals);
}

async function checkModule({ device }: Gpu, hook: string, code: string): Promise<void> {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ label: hook, code });
  const failure = await device.popErrorScope();
  if (!failure) return;
  const messages = compilerMessages(await module.getCompilationInfo(), code, 1);
  throw new ShaderError(`the WGSL of a hook at ${hook} does not compile\n${messages || failure.message}`);
}
