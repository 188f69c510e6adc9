// Writes shaders/*.wgsl into src/kernels/generated/shaders.ts, so that the same text serves Node, browsers and
// bundlers. Git does not hold it: builds, type checks and tests make it first.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = join(root, 'shaders');
const target = join(root, 'src/kernels/generated/shaders.ts');

const names = readdirSync(folder)
  .filter((name) => name.endsWith('.wgsl'))
  .sort();
const entries = names.map((name) => {
  const text = readFileSync(join(folder, name), 'utf8').replaceAll('\r\n', '\n');
  const literal = text.replaceAll('\\', '\\\\').replaceAll('`', '\\`').replaceAll('${', '\\${');
  return `  ${name.slice(0, -'.wgsl'.length)}: \`${literal}\`,\n`;
});
const source =
  '// Generated from shaders/*.wgsl by tools/embed-shaders.mjs. Do not edit.\n' +
  `export const SHADERS = {\n${entries.join('')}} as const;\n\nexport type ShaderName = keyof typeof SHADERS;\n`;

const current = existsSync(target) ? readFileSync(target, 'utf8') : '';
if (current !== source) {
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, source);
}
