type Access = 'read' | 'read_write';
export function withIncludes(text: string, read: (name: string) => string): string;
export function bindingsOf(text: string): Record<string, Access | [Access, string]>;
export function paramsOf(text: string): Record<string, 'u32' | 'i32' | 'f32'>;
