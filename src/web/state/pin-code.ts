// Pins as calls of the library: row 0 of the batch is the clean run, row 1 the corrupt one that is patched.

import type { EditPin, Pin, PinOperation } from '../protocol/pins.ts';

/** A value as JavaScript: lists and texts of any characters. */
export function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  // Line separators are line ends to some readers of JavaScript.
  return JSON.stringify(value).replace(/[\u2028\u2029]/g, (mark) => `\\u${mark.charCodeAt(0).toString(16)}`);
}

/**
 * The interventions of a pin, one per line.
 *
 * @param place positions as code; called for every list of positions, in their order in the pin
 */
export function pinCode(pin: Pin, place: (positions: readonly number[]) => string): string[] {
  if (pin.kind === 'edit') return editCode(pin, place);
  if (pin.kind === 'cut') {
    const { attention, from, to, layers, heads } = pin;
    const fields = [
      `attention: ${literal(attention)}`,
      `from: ${place(from)}`,
      `to: ${place(to)}`,
      ...(layers ? [`layers: ${literal(layers)}`] : []),
      ...(heads ? [`heads: ${literal(heads)}`] : []),
      'run: 1',
    ];
    return [`...cutEdges(model, corrupt, { ${fields.join(', ')} })`];
  }
  const target = `{ hook: features, run: 1, positions: ${literal(pin.patches)}.flatMap((patch) => keys[patch] ?? []) }`;
  if (pin.operation === 'zero') return [`zero(${target})`];
  return [`replace(${target}, ${pin.operation === 'mean' ? '{ values: meanFeature }' : '{ run: 0 }'})`];
}

function editCode(
  { hooks, positions, heads, operation }: EditPin,
  place: (positions: readonly number[]) => string,
) {
  const rest = [
    'run: 1',
    ...(positions ? [`positions: ${place(positions)}`] : []),
    ...(heads ? [`heads: ${literal(heads)}`] : []),
  ];
  return hooks.map((hook) => changed(`{ ${[`hook: ${literal(hook)}`, ...rest].join(', ')} }`, operation));
}

function changed(target: string, operation: PinOperation): string {
  switch (operation.kind) {
    case 'replace':
      return `replace(${target}, { run: 0 })`;
    case 'zero':
      return `zero(${target})`;
    case 'mean':
      return `mean(${target})`;
    case 'scale':
      return `scale(${target}, ${operation.factor})`;
    case 'interpolate':
      return `interpolate(${target}, { run: 0 }, ${operation.share})`;
    case 'add':
      return `add(${target}, { run: 0 }, ${operation.factor})`;
  }
}

/** What pins of patches need before them: the image's features, which of them each patch is, and their mean. */
export function pinPreparation(pins: readonly Pin[]): string[] {
  const operations = pins.flatMap((pin) => (pin.kind === 'patches' ? [pin.operation] : []));
  if (operations.length === 0) return [];
  return [
    "const features = model.imageAttention.endsWith('.cross_attn') ? 'vision.hook_out' : model.promptEmbedding;",
    'const keys = patchGrids(model, corrupt).flatMap((grid) => grid.keys);',
    ...(operations.includes('mean')
      ? [
          'const { cache } = await runWithCache(model, [corrupt], { names: features, stopAfter: features });',
          'const rows = await cache.read(features);',
          'const width = cache.get(features).shape.at(-1) ?? 0;',
          'cache.release();',
          'const meanFeature = new Float32Array(width).map(',
          '  (_, column) => keys.reduce((sum, key) => sum + (rows[key * width + column] ?? 0), 0) / keys.length,',
          ');',
        ]
      : []),
  ];
}
