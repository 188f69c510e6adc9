// "Copy as code": a program for Node that does what is pinned with the library's published calls, and prints the page's numbers.
// It is plain JavaScript that a strict TypeScript takes as it is.

import type { Pin } from '../protocol/pins.ts';
import type { CorruptionName, ModelInfo, PairSpec, Picture } from '../protocol/session.ts';
import { literal, pinCode, pinPreparation } from './pin-code.ts';

/** A pair with the pins as they are on it. */
export interface PinnedPair {
  readonly spec: PairSpec;
  readonly pins: readonly Pin[];
}

export interface ProgramOptions {
  readonly model: Pick<ModelInfo, 'choice' | 'dtype'>;
  readonly corruption: CorruptionName;
  /** The pair that is looked at; its pins are those at work. */
  readonly pair: PinnedPair;
  /** Pairs of the data set, as "on n pairs" patched them. */
  readonly others?: readonly PinnedPair[];
  /** What the page shows, line by line. */
  readonly shown?: readonly string[];
}

/**
 * The program. It prints P(correct), P(incorrect) and the logit difference of the clean, the corrupt and the patched run of
 * every pair, and over the pairs of the data set the mean effects.
 */
export function programOf(options: ProgramOptions): string {
  const { model, pair, others = [], shown = [] } = options;
  const pairs = [pair, ...others.filter(({ spec }) => spec.id === undefined || spec.id !== pair.spec.id)];
  const code = [
    ...(usesPackage(options)
      ? ["const packageUrl = import.meta.resolve('notice-webgpu-cli/package.json');"]
      : []),
    'const gpu = await openGpu();',
    ...loading(model),
    '',
    'const pairs = [',
    ...pairs.map((one) => `  ${pairCode(one, pairs)},`),
    '];',
    ...(others.length > 0 ? ['const effects = [];'] : []),
    ...loop(options, pairs),
    ...(others.length > 0 ? summary(others.length < pairs.length) : []),
    'gpu.destroy();',
  ];
  return [
    '// Written by the NOTICE explorer: what is pinned there, as a program for Node 20.19 or later.',
    '//   npm install notice-webgpu-cli && node program.mjs',
    ...(shown.length > 0 ? ['// The page showed', ...shown.map((line) => `//   ${oneLine(line)}`)] : []),
    ...imports(code.join('\n')),
    '',
    ...code,
    '',
  ].join('\n');
}

const LIBRARY = [
  'add',
  'answerTokenIds',
  'candidates',
  'cutEdges',
  'drawNoise',
  'embeddingDeviation',
  'inCaseOf',
  'interpolate',
  'loadFromHub',
  'loadModel',
  'mean',
  'paintOver',
  'patchGrids',
  'patchPair',
  'Processor',
  'replace',
  'runWithCache',
  'scale',
  'summarizeAll',
  'zero',
];

function imports(code: string): string[] {
  const used = (names: readonly string[]) => names.filter((name) => new RegExp(`\\b${name}[(.]`).test(code));
  const line = (names: readonly string[], from: string) =>
    `import { ${names.join(', ')} } from ${literal(from)};`;
  return [
    line(['fileURLToPath'], 'node:url'),
    line(used(LIBRARY), 'notice-webgpu'),
    line(used(['nodeFolder', 'openGpu', 'readImage']), 'notice-webgpu/node'),
  ];
}

function usesPackage({ model, pair, others = [] }: ProgramOptions): boolean {
  return (
    model.choice.kind === 'embedded' ||
    [pair, ...others].some(({ spec }) => spec.clean.kind === 'embedded' || picturesOf(spec).length > 1)
  );
}

function picturesOf({ clean, image }: PairSpec): Picture[] {
  return image.kind === 'picture' ? [clean, image.picture] : [clean];
}

function loading({ choice, dtype }: ProgramOptions['model']): string[] {
  const fields = {
    ...(dtype === 'as in the file' ? {} : { dtype }),
    ...(choice.kind === 'hub' && choice.endpoint ? { endpoint: choice.endpoint } : {}),
  };
  const options = Object.keys(fields).length > 0 ? `, ${JSON.stringify(fields)}` : '';
  if (choice.kind === 'hub')
    return [`const { model, processor } = await loadFromHub(gpu, ${literal(choice.id)}${options});`];
  const folder =
    choice.kind === 'embedded'
      ? `fileURLToPath(new URL(${literal(`weights/${choice.name}`)}, packageUrl))`
      : literal(`./${choice.name}`);
  return [
    ...(choice.kind === 'folder' ? ['// Where the folder lies that was opened in the page.'] : []),
    `const source = nodeFolder(${folder});`,
    `const model = await loadModel(gpu, source${options});`,
    'const processor = await Processor.load(model, source);',
  ];
}

/** A picture's address: in the package, or a file of one's own beside the program. */
function pictureCode(picture: Picture): string {
  return picture.kind === 'embedded'
    ? `new URL(${literal(`data/${picture.path}`)}, packageUrl)`
    : `new URL(${literal(`./${picture.name}`)}, import.meta.url)`;
}

/** A row of the table: what differs from pair to pair. */
function pairCode({ spec, pins }: PinnedPair, all: readonly PinnedPair[]): string {
  const { id = 'yours', clean, image, question, correct, incorrect, corruptQuestion } = spec;
  const places = pinPlaces(pins, all);
  const fields = [
    `id: ${literal(id)}`,
    `cleanFile: ${pictureCode(clean)}`,
    ...(image.kind === 'picture' ? [`corruptFile: ${pictureCode(image.picture)}`] : []),
    `question: ${literal(question)}`,
    ...(corruptQuestion === undefined ? [] : [`corruptQuestion: ${literal(corruptQuestion)}`]),
    `correct: ${literal(correct)}`,
    `incorrect: ${literal(incorrect)}`,
    ...(places.length > 0 ? [`at: ${literal(places)}`] : []),
  ];
  return `{ ${fields.join(', ')} }`;
}

/** Positions of the pins, in the order in which the program's `at` has them; none where all pairs have the same. */
function pinPlaces(pins: readonly Pin[], all: readonly PinnedPair[]): (readonly number[])[] {
  return differ(all) ? pins.flatMap(positionsOf) : [];
}

function differ(all: readonly PinnedPair[]): boolean {
  const places = all.map(({ pins }) => JSON.stringify(pins.flatMap(positionsOf)));
  return new Set(places).size > 1;
}

/** Lists of positions that depend on a pair's tokens. */
function positionsOf(pin: Pin): (readonly number[])[] {
  if (pin.kind === 'cut') return [pin.from, pin.to];
  return pin.kind === 'edit' && pin.positions ? [pin.positions] : [];
}

function loop(options: ProgramOptions, pairs: readonly PinnedPair[]): string[] {
  const { corruption, pair, others = [] } = options;
  const { image } = pair.spec;
  const byTable = differ(pairs);
  let next = 0;
  const place = (positions: readonly number[]) => (byTable ? `at[${next++}] ?? []` : literal(positions));
  const patches = pair.pins.flatMap((pin) => pinCode(pin, place));
  const fields = [
    'id',
    'cleanFile',
    ...(corruption === 'image' && image.kind === 'picture' ? ['corruptFile'] : []),
    'question',
    ...(corruption === 'text' ? ['corruptQuestion'] : []),
    'correct',
    'incorrect',
    ...(byTable ? ['at'] : []),
  ];
  const { code, besides } = corruptCode(options);
  return [
    `for (const { ${fields.join(', ')} } of pairs) {`,
    ...indented([
      'const picture = await readImage(fileURLToPath(cleanFile));',
      'const clean = processor.sample(picture, question);',
      ...code,
      ...pinPreparation(pair.pins),
      '// The options in the letter case of the answer: the tokens whose logits are compared.',
      'const [said] = await model.generate([clean], { maxNewTokens: 2 });',
      'const answer = processor.answer(said?.ids ?? []);',
      'const words = { correct: inCaseOf(correct, answer), incorrect: inCaseOf(incorrect, answer) };',
      'const [yes, no] = answerTokenIds(processor.tokenizer, words, { after: processor.answerContext });',
      `const runs = await patchPair(model, { clean, corrupt, correct: yes, incorrect: no${besides} }, [`,
      ...indented(patches.map((line) => `${line},`)),
      ']);',
      'const numbers = Object.entries(runs).map(([run, logits]) => {',
      ...indented([
        'const of = (id = 0) => candidates(logits).find(({ token }) => token === id)?.probability ?? 0;',
        'const difference = (logits[yes] ?? 0) - (logits[no] ?? 0);',
        `console.log(\`\${id} \${run}: P(correct) \${of(yes).toFixed(6)}, P(incorrect) \${of(no).toFixed(6)}, logit difference \${difference.toFixed(6)}\`);`,
        'return { p: of(yes), difference };',
      ]),
      '});',
      ...(others.length > 0
        ? [
            'const [, before, after] = numbers;',
            'effects.push({ p: (after?.p ?? 0) - (before?.p ?? 0), difference: (after?.difference ?? 0) - (before?.difference ?? 0) });',
          ]
        : []),
    ]),
    '}',
  ];
}

/** What makes `corrupt` of `clean`, and what the pair has besides. */
function corruptCode({ corruption, pair }: ProgramOptions): {
  readonly code: string[];
  readonly besides: string;
} {
  const { image } = pair.spec;
  if (corruption === 'text')
    return { code: ['const corrupt = processor.sample(clean.images, corruptQuestion);'], besides: '' };
  switch (image.kind) {
    case 'picture':
      return {
        code: ['const corrupt = processor.sample(await readImage(fileURLToPath(corruptFile)), question);'],
        besides: '',
      };
    case 'painted':
      return {
        code: [`const corrupt = processor.sample(paintOver(picture, ${literal(image.boxes)}), question);`],
        besides: '',
      };
    case 'no-image':
      return { code: ['const corrupt = clean;'], besides: ', noImage: true' };
    case 'noise':
      return {
        code: [
          'const corrupt = clean;',
          `const deviation = ${image.scale} * (await embeddingDeviation(model, [[clean]]));`,
          `const noise = { hook: model.imageEmbedding, values: drawNoise(model, clean, deviation, ${literal(String(image.seed))}) };`,
        ],
        besides: ', noise',
      };
  }
}

/** @param first whether the first pair is beside those of the data set, and does not count */
function summary(first: boolean): string[] {
  return [
    `const counted = effects${first ? '.slice(1)' : ''};`,
    'const [p, difference] = summarizeAll([counted.map((one) => one.p), counted.map((one) => one.difference)]);',
    'for (const [name, found] of Object.entries({ P: p, LD: difference }))',
    `  console.log(\`\${counted.length} pairs, \${name}′ − \${name}*: mean \${found?.mean.toFixed(6)}, 95 % from \${found?.low.toFixed(6)} to \${found?.high.toFixed(6)}\`);`,
  ];
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}

function oneLine(text: string): string {
  return text.replace(/\s+/gu, ' ');
}
