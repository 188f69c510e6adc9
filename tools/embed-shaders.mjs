// Writes shaders/*.wgsl into src/kernels/generated/shaders.ts, so that the same text serves Node, browsers and bundlers,
// and with each kernel's text what its wrapper has to know of it: the storage buffers of group 0 and the fields of
// `struct Params`, in order. Git does not hold it: builds, type checks and tests make it first.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = join(root, 'shaders');
const target = join(root, 'src/kernels/generated/shaders.ts');

const read = (name) => readFileSync(join(folder, `${name}.wgsl`), 'utf8').replaceAll('\r\n', '\n');

/** The text of a kernel: a first line `//@include a b` puts those files in front of it. */
export function withIncludes(text, read) {
  const [line, names] = /^\/\/@include (.*)\n/.exec(text) ?? ['', ''];
  return [...names.split(' ').filter(Boolean).map(read), text.slice(line.length)].join('');
}

/**
 * The storage buffers that a text declares, in order: each its access, or where an `//@if` decides whether it is there,
 * [access, the condition's name]. What is declared in both branches is always there.
 *
 * @throws Error naming the declaration that cannot be told so
 */
export function bindingsOf(text) {
  const branches = [];
  const bindings = {};
  for (const line of text.split('\n')) {
    const [, mark, name] = /^\s*\/\/@(if|else|endif)\b\s*(\w*)/.exec(line) ?? [];
    if (mark === 'if') branches.push({ name, isElse: false });
    else if (mark === 'else') branches.at(-1).isElse = true;
    else if (mark === 'endif') branches.pop();
    if (!/^\s*@group/.test(line)) continue;
    const [, access, binding] =
      /^@group\(0\) @binding\([^)]+\) var<storage, (read|read_write)> (\w+): \S.*;$/.exec(line) ?? [];
    const [branch] = branches;
    const known = bindings[binding];
    if (!binding || branches.length > 1) throw new Error(`no declaration of a binding: ${line}`);
    if (!branch?.isElse && known === undefined) bindings[binding] = branch ? [access, branch.name] : access;
    else if (branch?.isElse && known?.[0] === access && known[1] === branch.name) bindings[binding] = access;
    else throw new Error(`declared twice, or only where ${branch?.name} does not hold: ${line}`);
  }
  return bindings;
}

/** The fields of a text's `struct Params` with their types, in order. */
export function paramsOf(text) {
  const [, body = ''] = /^struct Params \{([^}]*)\}/m.exec(text) ?? [];
  const fields = body.split(',').map((field) => field.trim());
  return Object.fromEntries(
    fields.filter(Boolean).map((field) => {
      const [, name, type] = /^(\w+): (u32|i32|f32)$/.exec(field) ?? [];
      if (!name) throw new Error(`no scalar parameter: ${field}`);
      return [name, type];
    }),
  );
}

function entryOf(name) {
  const text = withIncludes(read(name), read);
  const literal = text.replaceAll('\\', '\\\\').replaceAll('`', '\\`').replaceAll('${', '\\${');
  try {
    const [bindings, params] = [bindingsOf(text), paramsOf(text)].map((value) => JSON.stringify(value));
    return `  ${name}: {\n    bindings: ${bindings},\n    params: ${params},\n    text: \`${literal}\`,\n  },\n`;
  } catch (error) {
    throw new Error(`shaders/${name}.wgsl: ${error.message}`);
  }
}

const kernels = readdirSync(folder)
  .filter((file) => file.endsWith('.wgsl'))
  .sort()
  .map((file) => file.slice(0, -'.wgsl'.length))
  .filter((name) => /^@compute/m.test(read(name))); // the others are included
const source =
  '// Generated from shaders/*.wgsl by tools/embed-shaders.mjs. Do not edit.\n' +
  `export const SHADERS = {\n${kernels.map(entryOf).join('')}} as const;\n\nexport type ShaderName = keyof typeof SHADERS;\n`;

const current = existsSync(target) ? readFileSync(target, 'utf8') : '';
if (current !== source) {
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, source);
}
