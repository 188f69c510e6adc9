// Generated from shaders/*.wgsl by tools/embed-shaders.mjs. Do not edit.
export const SHADERS = {
} as const;

export type ShaderName = keyof typeof SHADERS;
