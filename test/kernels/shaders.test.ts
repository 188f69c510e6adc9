// Every shader as its wrapper uses it, read with a WGSL parser: bindings and parameters are those that were emitted with
// it, and the wrapper gives every buffer.

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { WgslReflect } from 'wgsl_reflect/wgsl_reflect.module.js';
import type { Backward, Buffers, KernelSource, Tensor, Work } from '../../src/gpu/index.ts';
import {
  activate,
  activationBackward,
  add,
  addPositions,
  addRows,
  attentionScores,
  attentionSoftmax,
  attentionValues,
  blendRows,
  convolve,
  customHook,
  cutScores,
  embedImage,
  embedTokens,
  gatherRows,
  guide,
  imagePatches,
  intervene,
  logSumExp,
  matmul,
  meanRows,
  metricGradients,
  metricValues,
  mix,
  normalize,
  normalizeFrozen,
  normalizeGroups,
  normalizeHeads,
  planAttention,
  type QuantizedWeight,
  quantize,
  restoration,
  rotate,
  rowNorms,
  silenceRows,
  spreadHeads,
  tokenRanks,
  topLogits,
  uploadPlan,
  type Vector,
  type Weight,
} from '../../src/kernels/index.ts';

const DEVICES = [
  { name: 'software with 4 lanes', software: true, subgroupSize: 4 },
  { name: 'software with 8 lanes', software: true, subgroupSize: 8 },
  { name: 'software without subgroups', software: true, subgroupSize: 0 },
  { name: 'a GPU', software: false, subgroupSize: 32 },
  {
    name: 'a GPU with matrix units',
    software: false,
    subgroupSize: 32,
    subgroupMatrix: { M: 16, N: 16, K: 16, syntax: 'template' },
  },
];
const LIMITS = {
  maxComputeWorkgroupsPerDimension: 65535,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 32768,
};
const TYPES = ['f32', 'f16', 'bf16'] as const;
const ACTIVATIONS = ['none', 'gelu', 'gelu_pytorch_tanh', 'quick_gelu', 'silu'] as const;
const OPS = ['replace', 'zero', 'add', 'scale', 'interpolate'] as const;

/** Calls every wrapper in every way that makes a kernel of its own, and collects the kernels. */
function kernelsOf(device: { software: boolean; subgroupSize: number }): KernelSource[] {
  const kernels = new Set<KernelSource>();
  const buffer = { label: 'any' } as GPUBuffer;
  const tensor = (rows: number, columns: number): Tensor => ({
    buffer,
    rows,
    columns,
    stride: columns,
    offset: 0,
  });
  const work = {
    capabilities: { ...device, limits: LIMITS, maxDispatchFlops: 1e11 },
    acquire: () => buffer,
    release: () => {},
    empty: tensor,
    uploadWords: () => buffer,
    shareWords: () => buffer,
    dispatch: (source: KernelSource, buffers: Buffers) => {
      const given = Object.keys(buffers).filter((name) => buffers[name] !== undefined);
      expect(given.sort(), source.name).toEqual(Object.keys(source.bindings).sort());
      kernels.add(source);
    },
    copy: () => {},
    clear: () => {},
  };
  callAll(work as unknown as Work, tensor, buffer);
  // Once more with a tape that walks every note back at once.
  const tape = {
    isLive: () => true,
    changing: () => {},
    refuse: () => {},
    note: ({ operator, saves, backward }: Noted) => {
      for (const accumulate of operator === 'attention values' ? [false] : [false, true])
        backward(
          {
            w: work as unknown as Work,
            gradient: (x) => x,
            into: (x) => ({ tensor: x, accumulate }),
            move: () => false,
            overwritten: () => {},
          },
          saves ?? [],
        );
    },
  };
  callAll({ ...work, tape } as unknown as Work, tensor, buffer);
  return [...kernels];
}

/** A note, whatever its derivative needs. */
interface Noted {
  readonly operator: string;
  readonly saves?: readonly (Tensor | GPUBuffer)[];
  readonly backward: (b: Backward, saved: readonly (Tensor | GPUBuffer)[]) => void;
}

function callAll(w: Work, tensor: (rows: number, columns: number) => Tensor, buffer: GPUBuffer): void {
  const vector: Vector = { name: 'vector', length: 8, buffer };
  const weight = (type: Weight['type']): Weight => {
    const part = { buffer, firstRow: 0, rows: 8 };
    return { name: 'weight', type, rows: 8, columns: 8, stride: 8, parts: [part] };
  };
  const quantized = (type: QuantizedWeight['type']): QuantizedWeight => {
    const part = { buffer, scales: buffer, firstRow: 0, rows: 8 };
    return { name: 'weight', type, rows: 8, columns: 64, stride: 64, parts: [part] };
  };
  const x = tensor(8, 8);

  for (const rows of [1, 8])
    for (const bias of [undefined, vector])
      for (const residual of [undefined, tensor(rows, 8)]) {
        for (const type of TYPES) matmul(w, tensor(rows, 8), weight(type), { bias, residual });
        for (const activation of ACTIVATIONS)
          matmul(w, tensor(rows, 8), weight('f32'), { bias, residual, activation });
      }
  for (const weight of [quantized('nf4'), quantized('int8')]) {
    for (const rows of [1, 4, 17])
      for (const bias of [undefined, vector])
        for (const residual of [undefined, tensor(rows, 8)])
          matmul(w, tensor(rows, 64), weight, { bias, residual });
    for (const type of TYPES) {
      const [part] = weight.parts;
      quantize(w, { buffer, type, rows: 8 }, weight, part!, 0, buffer);
    }
  }
  for (const activation of ACTIVATIONS) for (const gate of [undefined, x]) activate(w, x, activation, gate);
  for (const activation of ACTIVATIONS) activationBackward(w, x, activation, x);
  add(w, x, x);
  for (const shift of [undefined, vector]) normalize(w, x, { scale: vector, shift, eps: 1e-5 });
  for (const shift of [undefined, vector])
    normalizeFrozen(w, x, { first: 0, count: 8 }, tensor(1, 8), { scale: vector, shift, eps: 1e-5 });
  normalizeHeads(w, x, 1, { scale: vector, eps: 1e-5 });
  gatherRows(w, x, Uint32Array.of(0), tensor(1, 8));
  addRows(w, x, x, Uint32Array.of(0, 1));
  blendRows(w, x, [new Array(4).fill([0, 0.25])], x);
  meanRows(w, x, [[0]]);
  rotate(w, x, 2, buffer, buffer);
  for (const type of TYPES) {
    embedTokens(w, [0], weight(type));
    embedTokens(w, [0], weight(type), [0], weight(type));
    embedImage(w, tensor(7, 8), vector, weight(type));
    addPositions(w, tensor(1, 8), weight(type), [new Array(4).fill([0, 0.25])]);
  }
  imagePatches(w, tensor(1, 12), 2, 2, 1);
  cutScores(w, x, 1, [{ entry: 0, firstHead: 0, heads: 1, firstColumn: 0, columns: 1, counter: 0 }], buffer);
  silenceRows(w, x, x, [0]);
  spreadHeads(w, x, 2);
  topLogits(w, x, 2);
  tokenRanks(w, x, [0]);
  rowNorms(w, x);
  const edit = { row: 0, firstColumn: 0, columns: 1, source: 1, alpha: 1, counter: 0 };
  for (const op of OPS) for (const source of [undefined, x]) intervene(w, x, op, [edit], buffer, source);
  customHook(w, x, 8, [{ row: 0, batch: 0, position: 0 }], 'return value;');
  for (const count of [1, 4, 6, 8]) // each gets tiles of its own height
    for (const headSize of [4, 2]) {
      for (const first of [0, 1])
        for (const scoreSoftcap of [undefined, 50]) {
          const queries = Array.from({ length: count }, (_, query) => ({
            query,
            out: query,
            first,
            keys: 2,
          }));
          const plan = planAttention([{ keys: Uint32Array.of(0, 1), queries }], 1, 1e9);
          const tables = uploadPlan(w, plan);
          const rows = tensor(8, headSize);
          for (const chunk of plan.chunks) {
            const shape = { heads: 1, keyHeads: 1, headSize, scoreSoftcap };
            const scores = attentionScores(w, rows, rows, shape, tables, chunk);
            for (const cut of [false, true]) attentionSoftmax(w, scores, 1, tables, chunk, cut);
            attentionValues(w, scores, rows, rows, shape, tables, chunk);
          }
        }
    }
  for (const channels of [3, 4]) {
    const maps = { x: tensor(4, channels), images: 1, height: 2, width: 2 };
    convolve(w, maps, { ...weight('f32'), columns: 9 * channels, stride: 36 });
  }
  for (const activation of ['none', 'silu'] as const)
    normalizeGroups(
      w,
      { x, images: 1, height: 2, width: 4 },
      { groups: 2, scale: vector, shift: vector, eps: 1e-5 },
      activation,
    );
  mix(w, tensor(1, 4), 1, guide(w, tensor(2, 4), 8), 1);
  logSumExp(w, x, [[0]]);
  metricValues(w, x, tensor(1, 3), [{ logits: 0, scores: 0, metric: { kind: 'logit', token: 0 } }]);
  metricGradients(w, x, tensor(1, 3), [{ logits: 0, scores: 0, metric: { kind: 'logit', token: 0 } }]);
  restoration(w, tensor(1, 3), [{ patched: 0, corrupt: 0, clean: 0 }]);
}

/** The parser knows no expressions in attributes (`@binding(3u + NAME)`) and no subgroup matrices. */
function forParser(code: string): string {
  return code
    .replace(/@binding\((\d+)u \+ (\w+)\)/g, (_, first: string, name: string) => {
      const value = new RegExp(`const ${name}: u32 = (\\d+)u;`).exec(code)?.[1];
      return `@binding(${Number(first) + Number(value)})`;
    })
    .replace(/(subgroupMatrix\w+)<[^>]*>/g, '$1')
    .replace(/subgroup_matrix_\w+<[^>]*>/g, 'f32');
}

const named = (kernels: readonly KernelSource[]) => kernels.map((kernel) => [kernel.name, kernel] as const);

describe.each(DEVICES)('kernels for $name', (device) => {
  it.each(named(kernelsOf(device)))('%s', (_, { code, bindings, params }) => {
    expect(code).not.toMatch(/\/\/@|\{\w\}/); // nothing left to write out
    const { entry, storage, structs } = new WgslReflect(forParser(code));
    expect(entry.compute.map(({ name }) => name)).toEqual(['main']);
    const inOrder = [...storage].sort((a, b) => a.binding - b.binding);
    expect(inOrder.map(({ group, binding, name, access }) => ({ group, binding, name, access }))).toEqual(
      Object.entries(bindings).map(([name, access], binding) => ({ group: 0, binding, name, access })),
    );
    const struct = structs.find(({ name }) => name === 'Params');
    expect(struct?.members.map(({ name, type }) => [name, type.name])).toEqual(Object.entries(params));
  });
});

describe('shader files', () => {
  const kernels = DEVICES.flatMap(kernelsOf);

  it.each(readdirSync('shaders'))('%s begins by saying what it computes and names its constants', (file) => {
    const text = readFileSync(`shaders/${file}`, 'utf8').replace(/^\/\/@include.*\n/, '');
    const header = text.slice(0, text.search(/^(?!\/\/)/m));
    expect(header.split('\n').length).toBeGreaterThan(2);
    const users = kernels.filter(({ code }) => code.includes(header));
    expect(users.length, 'no wrapper uses it').toBeGreaterThan(0);
    for (const { code } of users) {
      const comments = code.match(/^\/\/.*$/gm)?.join('\n'); // with the header of a file that it includes
      for (const [, name] of code.matchAll(/^const (\w+): u32/gm))
        expect(comments).toMatch(new RegExp(`\\b${name}\\b`));
    }
  });
});
