// From a shader file to the kernel that is compiled: a prelude of constants and functions in front, `//@if` blocks
// kept or dropped, `//@unroll` blocks written out. Nothing else is generated. What a kernel binds and its parameters
// are what its file declares.

import type { BindingLayout, Capabilities, KernelSource } from '../gpu/index.ts';
import { SHADERS, type ShaderName } from './generated/shaders.ts';
import type { ElementType, QuantizedType } from './weight.ts';

type Constants = Readonly<Record<string, number | boolean>>;
type Access = 'read' | 'read_write';
type Declared<N extends ShaderName> = (typeof SHADERS)[N]['bindings'];

/** A kernel of a shader: its buffers, of which those under an `//@if` are optional, and its parameters. */
export type Kernel<N extends ShaderName> = KernelSource<
  { readonly [B in keyof Declared<N> as Declared<N>[B] extends Access ? B : never]: Access } & {
    readonly [B in keyof Declared<N> as Declared<N>[B] extends Access ? never : B]?: Access;
  },
  (typeof SHADERS)[N]['params']
>;

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
    const count = Number(/^\d+$/.test(limit) ? limit : counts[limit]);
    if (Number.isNaN(count)) throw new Error(`//@unroll: no value for ${limit}`);
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
      keep.push(Boolean(value));
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
export type Activation = 'none' | 'gelu' | 'gelu_pytorch_tanh' | 'quick_gelu' | 'silu';

/**
 * `gelu` is x · Φ(x) with erf by Abramowitz and Stegun 7.1.26 (absolute error below 1.5e-7, the size of f32 rounding);
 * `gelu_pytorch_tanh` is x/2 · (1 + tanh u) = x · sigmoid(2u), u = √(2/π) · (x + 0.044715 x³), kept where exp is finite;
 * `quick_gelu` is x · sigmoid(1.702 x); `silu` is x · sigmoid(x). As torch.nn.functional and transformers.activations.
 */
const ACTIVATIONS: Readonly<Record<Activation, string>> = {
  none: 'fn activate(x: f32) -> f32 { return x; }\n',
  gelu:
    'fn activate(x: f32) -> f32 {\n  let z = abs(x) * 0.7071067811865476;\n  let t = 1.0 / (1.0 + 0.3275911 * z);\n' +
    '  let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));\n' +
    '  let tail = 0.5 * p * exp(-z * z);\n  return x * select(tail, 1.0 - tail, x >= 0.0);\n}\n',
  gelu_pytorch_tanh:
    'fn activate(x: f32) -> f32 {\n  let u = 1.5957691216057308 * (x + 0.044715 * x * x * x);\n' +
    '  return x / (1.0 + exp(min(-u, 80.0)));\n}\n',
  quick_gelu: 'fn activate(x: f32) -> f32 { return x / (1.0 + exp(-1.702 * x)); }\n',
  silu: 'fn activate(x: f32) -> f32 { return x / (1.0 + exp(-x)); }\n',
};

/**
 * The derivative of each, `slope`, of the same approximations: of gelu Φ(x) + x · φ(x), of x · sigmoid(u) with s = sigmoid(u) and
 * u′ = du/dx it is s + x · s · (1 − s) · u′.
 */
const SLOPES: Readonly<Record<Activation, string>> = {
  none: 'fn slope(x: f32) -> f32 { return 1.0; }\n',
  gelu:
    'fn slope(x: f32) -> f32 {\n  let z = abs(x) * 0.7071067811865476;\n  let t = 1.0 / (1.0 + 0.3275911 * z);\n' +
    '  let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));\n' +
    '  let density = exp(-z * z);\n  let tail = 0.5 * p * density;\n' +
    '  return select(tail, 1.0 - tail, x >= 0.0) + x * 0.3989422804014327 * density;\n}\n',
  gelu_pytorch_tanh:
    'fn slope(x: f32) -> f32 {\n  let y = clamp(x, -20.0, 20.0);\n' + // beyond, it is 0 or 1
    '  let u = 1.5957691216057308 * (y + 0.044715 * y * y * y);\n  let s = 1.0 / (1.0 + exp(min(-u, 80.0)));\n' +
    '  return s + y * s * (1.0 - s) * 1.5957691216057308 * (1.0 + 0.134145 * y * y);\n}\n',
  quick_gelu: sigmoidSlope('1.702'),
  silu: sigmoidSlope('1.0'),
};

/** Of x · sigmoid(factor · x). */
function sigmoidSlope(factor: string): string {
  return (
    `fn slope(x: f32) -> f32 {\n  let s = 1.0 / (1.0 + exp(min(-${factor} * x, 80.0)));\n` +
    `  return s + x * s * (1.0 - s) * ${factor};\n}\n`
  );
}

/**
 * An elementwise function with numbers of its own: scale · x, and where there is a cap kept within ± cap, that is
 * cap · tanh(scale · x / cap). Gemma scales embeddings, Gemma 2 caps scores and logits.
 */
export interface Scaling {
  readonly scale: number;
  readonly cap?: number;
}

/**
 * tanh near 0 by Cephes' polynomial (tanhf), else by exp: WGSL's own may lose the digits of small values, and overflow
 * for large ones.
 */
function scalingText({ scale, cap }: Scaling): string {
  if (cap === undefined) return `fn activate(x: f32) -> f32 { return x * ${float(scale)}; }\n`;
  return (
    `fn activate(x: f32) -> f32 {\n  let u = x * ${float(scale / cap)};\n  let v = u * u;\n` +
    '  let near = u + u * v * (-0.333332819422 + v * (0.133314422036 + v * (-0.0537397155531 +\n' +
    '    v * (0.0206390887954 - 0.00570498872745 * v))));\n' +
    '  let far = sign(u) * (1.0 - 2.0 / (1.0 + exp(2.0 * min(abs(u), 20.0))));\n' +
    `  return ${float(cap)} * select(far, near, abs(u) < 0.625);\n}\n`
  );
}

/** That of {@link scalingText}: scale · (1 − tanh²). */
function scalingSlope({ scale, cap }: Scaling): string {
  if (cap === undefined) return `fn slope(x: f32) -> f32 { return ${float(scale)}; }\n`;
  return (
    `fn slope(x: f32) -> f32 {\n  let t = activate(x) / ${float(cap)};\n` +
    `  return ${float(scale)} * (1.0 - t * t);\n}\n`
  );
}

/** What tells a kernel with this function from others. */
export function traitOf(activation: Activation | Scaling): string {
  if (typeof activation === 'string') return activation;
  const { scale, cap } = activation;
  return cap === undefined ? `scale ${scale}` : `scale ${scale} cap ${cap}`;
}

/** A number as WGSL writes it. */
function float(value: number): string {
  return `${Math.fround(value).toExponential()}f`;
}

/** How the threads of a workgroup add up: `reduceSum` and `reduceMax` give every thread the result. */
export interface Reduction {
  readonly by: 'subgroup' | 'workgroup';
  /** Threads of a workgroup. */
  readonly WG: number;
}

const REDUCTIONS: Readonly<Record<Reduction['by'], string>> = {
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

/** What a kernel is made of besides its file. */
export interface Recipe {
  /** `const NAME: u32 = value;` lines, also the counts of `//@unroll` and the conditions of `//@if`. */
  readonly constants?: Constants;
  /** Defines `WeightVec`, and for floats `weight4`, for weights of this type. */
  readonly weights?: ElementType | QuantizedType;
  /** Conditions of `//@if` that leave no constant, so that a kernel without them does not change by a byte. */
  readonly settings?: Readonly<Record<string, boolean>>;
  /** Defines `activate`. */
  readonly activation?: Activation | Scaling | undefined;
  /** Defines `slope`, the derivative of an activation; of a {@link Scaling} that needs `activate`, too. */
  readonly slope?: Activation | Scaling | undefined;
  /** Defines `reduceSum`, `reduceMax` and, before all other constants, WG. */
  readonly reduction?: Reduction;
  /** Extensions to enable. */
  readonly enable?: readonly string[] | undefined;
  /** Changes the assembled text. */
  readonly rewrite?: (text: string) => string;
}

function textOf(
  activation: Activation | Scaling,
  named: Readonly<Record<Activation, string>>,
  scaling: (scaling: Scaling) => string,
): string {
  return typeof activation === 'string' ? named[activation] : scaling(activation);
}

/** The text of shaders/`name`.wgsl with its prelude. */
export function assemble(
  name: ShaderName,
  {
    constants: others = {},
    settings = {},
    weights,
    activation,
    slope,
    reduction,
    rewrite = (text) => text,
  }: Recipe = {},
): string {
  const constants = reduction ? { WG: reduction.WG, ...others } : others;
  const lines = Object.entries(constants).map(([key, value]) => `const ${key}: u32 = ${Number(value)}u;\n`);
  const text = [
    ...lines,
    weights ? WEIGHT_TYPES[weights] : '',
    activation ? textOf(activation, ACTIVATIONS, scalingText) : '',
    slope ? textOf(slope, SLOPES, scalingSlope) : '',
    reduction ? REDUCTIONS[reduction.by] : '',
    unroll(conditionals(SHADERS[name].text, { ...constants, ...settings }), constants),
  ].join('');
  return rewrite(text);
}

/** How rows are reduced on a device. */
export function reductionFor({ software, subgroupSize }: Capabilities): Reduction {
  // Barriers cost half a microsecond on software adapters; on a GPU more threads than a subgroup pay off.
  return software && subgroupSize > 0 ? { by: 'subgroup', WG: subgroupSize } : { by: 'workgroup', WG: 64 };
}

const built = new Map<string, KernelSource>();

/**
 * A kernel of shaders/`shader`.wgsl, put together once per process.
 *
 * @param traits everything that its recipe depends on; those that are set make up its name
 */
export function kernel<N extends ShaderName>(
  shader: N,
  traits: readonly (string | number | false | undefined)[],
  recipe: () => Recipe & { readonly name?: string },
): Kernel<N> {
  const key = [shader, ...traits.filter(Boolean)].join(' ');
  let source = built.get(key);
  if (!source) {
    source = build(key, shader, recipe());
    built.set(key, source);
  }
  return source as Kernel<N>;
}

function build(key: string, shader: ShaderName, recipe: Recipe & { readonly name?: string }): KernelSource {
  const { bindings, params } = SHADERS[shader];
  const { name = key, constants = {}, settings = {}, reduction, enable = [] } = recipe;
  const bound = Object.entries<Access | readonly [Access, string]>(bindings).flatMap(
    ([binding, declared]) => {
      const [access, condition] = typeof declared === 'string' ? [declared] : declared;
      return condition === undefined || constants[condition] || settings[condition]
        ? [[binding, access] as const]
        : [];
    },
  );
  return {
    name,
    code: assemble(shader, recipe),
    bindings: Object.fromEntries(bound) satisfies BindingLayout,
    params,
    enable: reduction?.by === 'subgroup' ? ['subgroups', ...enable] : enable,
  };
}
