// From a shader file to the text that is compiled: a prelude of constants and types in front, `//@unroll` blocks
// written out. Nothing else is generated.

import { SHADERS, type ShaderName } from './generated/shaders.ts';
import type { ElementType } from './weight.ts';

/**
 * Writes out the blocks between `//@unroll r 0..COUNT` and `//@end`, once for each value of `r`, with `{r}` replaced.
 * COUNT is a number or a name in `counts`. Blocks may be nested if their variables differ.
 *
 * Register tiles need this: software adapters keep an array that is indexed by a loop variable in memory.
 */
export function unroll(text: string, counts: Readonly<Record<string, number>>): string {
  const open = /^[ \t]*\/\/@unroll (\w+) 0\.\.(\w+)[ \t]*\n/m;
  let result = text;
  for (let match = open.exec(result); match; match = open.exec(result)) {
    const [line, variable, limit] = match as unknown as [string, string, string];
    const start = match.index + line.length;
    const end = matchingEnd(result, start);
    const count = /^\d+$/.test(limit) ? Number(limit) : counts[limit];
    if (count === undefined) throw new Error(`//@unroll: no value for ${limit}`);
    const body = result.slice(start, end.start);
    const copies = Array.from({ length: count }, (_, i) => body.replaceAll(`{${variable}}`, String(i))).join(
      '',
    );
    result = result.slice(0, match.index) + copies + result.slice(end.stop);
  }
  return result;
}

function matchingEnd(text: string, from: number): { start: number; stop: number } {
  const marks = /^[ \t]*\/\/@(unroll|end)[^\n]*\n/gm;
  marks.lastIndex = from;
  let depth = 1;
  for (let mark = marks.exec(text); mark; mark = marks.exec(text)) {
    depth += mark[1] === 'unroll' ? 1 : -1;
    if (depth === 0) return { start: mark.index, stop: marks.lastIndex };
  }
  throw new Error('//@unroll without //@end');
}

/**
 * How weights are stored: four values of one row come as one `WeightVec`. Half types are unpacked by hand, so they
 * work on adapters without `shader-f16`.
 */
const WEIGHT_TYPES: Readonly<Record<ElementType, string>> = {
  f32: 'alias WeightVec = vec4f;\nfn weight4(w: WeightVec) -> vec4f { return w; }\n',
  f16: 'alias WeightVec = vec2u;\nfn weight4(w: WeightVec) -> vec4f { return vec4f(unpack2x16float(w.x), unpack2x16float(w.y)); }\n',
  bf16:
    'alias WeightVec = vec2u;\nfn weight4(w: WeightVec) -> vec4f {\n' +
    '  return vec4f(bitcast<f32>(w.x << 16u), bitcast<f32>(w.x & 0xffff0000u), bitcast<f32>(w.y << 16u), bitcast<f32>(w.y & 0xffff0000u));\n}\n',
};

export interface Assembly {
  /** `const NAME: u32 = value;` lines, also the counts of `//@unroll`. */
  readonly constants?: Readonly<Record<string, number>>;
  /** Defines `WeightVec` and `weight4` for weights of this type. */
  readonly weights?: ElementType;
}

/** The text of shaders/`name`.wgsl with its prelude. */
export function assemble(name: ShaderName, { constants = {}, weights }: Assembly = {}): string {
  const lines = Object.entries(constants).map(([key, value]) => `const ${key}: u32 = ${value}u;\n`);
  return lines.join('') + (weights ? WEIGHT_TYPES[weights] : '') + unroll(SHADERS[name], constants);
}
