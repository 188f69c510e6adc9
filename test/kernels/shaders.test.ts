// Every shader as its wrapper uses it, read with a WGSL parser: bindings and parameters are those that were emitted with
// it, and the wrapper gives every buffer.

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { WgslReflect } from 'wgsl_reflect/wgsl_reflect.module.js';
import type { Capabilities, KernelSource } from '../../src/gpu/index.ts';
import * as K from '../../src/kernels/index.ts';
import { callEveryKernel, onlyDispatching } from '../../tools/gpu-check/every-kernel.mjs';

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

/** Every kernel for a device; their wrappers must give each its buffers. */
function kernelsOf(device: { software: boolean; subgroupSize: number }): KernelSource[] {
  const kernels = new Set<KernelSource>();
  const capabilities = { ...device, limits: LIMITS, maxDispatchFlops: 1e11 } as unknown as Capabilities;
  const w = onlyDispatching(capabilities, (source, buffers) => {
    const given = Object.entries(buffers).flatMap(([name, buffer]) => (buffer === undefined ? [] : [name]));
    expect(given.sort(), source.name).toEqual(Object.keys(source.bindings).sort());
    kernels.add(source);
  });
  callEveryKernel(K, w);
  return [...kernels];
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
