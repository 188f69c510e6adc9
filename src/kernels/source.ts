// From a shader file to the text that is compiled: a prelude of constants and functions in front, `//@if` blocks
// kept or dropped, `//@unroll` blocks written out. Nothing else is generated.

import type { Capabilities, KernelSource, ParamLayout } from '../gpu/index.ts';
import { SHADERS, type ShaderName } from './generated/shaders.ts';
import type { ElementType, QuantizedType } from './weight.ts';

type Constants = Readonly<Record<string, number>>;

/**
 * Writes out the blocks between `//@unroll r 0..COUNT` and `//@end`, once for each value of `r`, with `{r}` replaced.
 * COUNT is a number or a name in `counts`. Blocks may be nested if their variables differ.
 *
 * Register tiles need this: software adapters keep an array that is indexed by a loop variable in memory.
 */
export function unroll(text: string, counts: Constants): string {
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
  const marks = /^[ \t]*\/\/@(unroll|end)\b[^\n]*\n/gm;
  marks.lastIndex = from;
  let depth = 1;
  for (let mark = marks.exec(text); mark; mark = marks.exec(text)) {
    depth += mark[1] === 'unroll' ? 1 : -1;
    if (depth === 0) return { start: mark.index, stop: marks.lastIndex };
  }
  throw new Error('//@unroll without //@end');
}

/** Keeps the lines between `//@if NAME` (… `//@else`) and `//@endif` where NAME is not 0 in `constants`. May be nested. */
export function conditionals(text: string, constants: Constants): string {
  const keep: boolean[] = [];
  const lines = text.split('\n').filter((line) => {
    const mark = /^\s*\/\/@(if|else|endif)\b\s*(\w*)/.exec(line);
    if (mark?.[1] === 'if') {
      const value = constants[mark[2] as string];
      if (value === undefined) throw new Error(`//@if: no value for ${mark[2]}`);
      keep.push(value !== 0);
    } else if (mark && keep.length === 0) throw new Error(`//@${mark[1]} without //@if`);
    else if (mark?.[1] === 'else') keep.push(!keep.pop());
    else if (mark) keep.pop();
    return !mark && keep.every(Boolean);
  });
  if (keep.length > 0) throw new Error('//@if without //@endif');
  return lines.join('\n');
}

/**
 * How weights are stored: four values of one row come as one `WeightVec`. Half types are unpacked by hand, so they
 * work on adapters without `shader-f16`. Of quantised weights a `WeightVec` is four words of codes (quantized_values.wgsl).
 */
const WEIGHT_TYPES: Readonly<Record<ElementType | QuantizedType, string>> = {
  f32: 'alias WeightVec = vec4f;\nfn weight4(w: WeightVec) -> vec4f { return w; }\n',
  f16: 'alias WeightVec = vec2u;\nfn weight4(w: WeightVec) -> vec4f { return vec4f(unpack2x16float(w.x), unpack2x16float(w.y)); }\n',
  bf16:
    'alias WeightVec = vec2u;\nfn weight4(w: WeightVec) -> vec4f {\n' +
    '  return vec4f(bitcast<f32>(w.x << 16u), bitcast<f32>(w.x & 0xffff0000u), bitcast<f32>(w.y << 16u), bitcast<f32>(w.y & 0xffff0000u));\n}\n',
  nf4: 'alias WeightVec = vec4u;\n',
  int8: 'alias WeightVec = vec4u;\n',
};

/** Elementwise functions of an MLP. */
export type Activation = 'none' | 'gelu' | 'quick_gelu' | 'silu';

/**
 * `gelu` is x · Φ(x) with erf by Abramowitz and Stegun 7.1.26 (absolute error below 1.5e-7, the size of f32 rounding);
 * `quick_gelu` is x · sigmoid(1.702 x); `silu` is x · sigmoid(x). As torch.nn.functional and transformers.activations.
 */
const ACTIVATIONS: Readonly<Record<Activation, string>> = {
  none: 'fn activate(x: f32) -> f32 { return x; }\n',
  gelu:
    'fn activate(x: f32) -> f32 {\n  let z = abs(x) * 0.7071067811865476;\n  let t = 1.0 / (1.0 + 0.3275911 * z);\n' +
    '  let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));\n' +
    '  let tail = 0.5 * p * exp(-z * z);\n  return x * select(tail, 1.0 - tail, x >= 0.0);\n}\n',
  quick_gelu: 'fn activate(x: f32) -> f32 { return x / (1.0 + exp(-1.702 * x)); }\n',
  silu: 'fn activate(x: f32) -> f32 { return x / (1.0 + exp(-x)); }\n',
};

/** How the threads of a workgroup add up: `reduceSum` and `reduceMax` give every thread the result. */
export type Reduction = 'subgroup' | 'workgroup';

const REDUCTIONS: Readonly<Record<Reduction, string>> = {
  // The workgroup is one subgroup.
  subgroup:
    'fn reduceSum(value: f32, thread: u32) -> f32 { return subgroupAdd(value); }\n' +
    'fn reduceMax(value: f32, thread: u32) -> f32 { return subgroupMax(value); }\n',
  workgroup: ['Sum:a + b', 'Max:max(a, b)']
    .map((entry) => entry.split(':') as [string, string])
    .map(
      ([name, term]) =>
        `fn reduce${name}(value: f32, thread: u32) -> f32 {\n` +
        '  workgroupBarrier();\n  partial[thread] = value;\n  workgroupBarrier();\n' +
        '  for (var step = WG / 2u; step > 0u; step /= 2u) {\n    if (thread < step) {\n' +
        `      let a = partial[thread];\n      let b = partial[thread + step];\n      partial[thread] = ${term};\n` +
        '    }\n    workgroupBarrier();\n  }\n  return partial[0];\n}\n',
    )
    .join('')
    .replace(/^/, 'var<workgroup> partial: array<f32, WG>;\n'),
};

export interface Assembly {
  /** `const NAME: u32 = value;` lines, also the counts of `//@unroll` and the conditions of `//@if`. */
  readonly constants?: Constants;
  /** Defines `WeightVec`, and for floats `weight4`, for weights of this type. */
  readonly weights?: ElementType | QuantizedType;
  /** Defines `activate`. */
  readonly activation?: Activation;
  /** Defines `reduceSum` and `reduceMax`. */
  readonly reduction?: Reduction;
  /** Shader files in front: what several kernels have in common. */
  readonly include?: ShaderName | readonly ShaderName[];
}

/** The text of shaders/`name`.wgsl with its prelude. */
export function assemble(
  name: ShaderName,
  { constants = {}, weights, activation, reduction, include = [] }: Assembly = {},
): string {
  const lines = Object.entries(constants).map(([key, value]) => `const ${key}: u32 = ${value}u;\n`);
  const text = [include, name]
    .flat()
    .map((file) => SHADERS[file])
    .join('');
  return [
    ...lines,
    weights ? WEIGHT_TYPES[weights] : '',
    activation ? ACTIVATIONS[activation] : '',
    reduction ? REDUCTIONS[reduction] : '',
    unroll(conditionals(text, constants), constants),
  ].join('');
}

/** How rows are reduced on a device, as constants and extensions of a kernel. */
export function reductionFor(capabilities: Capabilities): {
  reduction: Reduction;
  WG: number;
  enable: readonly string[];
} {
  // Barriers cost half a microsecond on software adapters; on a GPU more threads than a subgroup pay off.
  if (capabilities.software && capabilities.subgroupSize > 0)
    return { reduction: 'subgroup', WG: capabilities.subgroupSize, enable: ['subgroups'] };
  return { reduction: 'workgroup', WG: 64, enable: [] };
}

const built = new Map<string, KernelSource>();

/** A kernel that is put together once per process. `key` stands for everything that its text depends on. */
export function once<L extends ParamLayout>(key: string, build: () => KernelSource<L>): KernelSource<L> {
  let source = built.get(key);
  if (!source) {
    source = build() as unknown as KernelSource;
    built.set(key, source);
  }
  return source as unknown as KernelSource<L>;
}
