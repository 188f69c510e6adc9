// Where the values of an intervention come from, as rows of tensors.

import { NoticeError, ShapeError } from '../errors.ts';
import type { Tensor, Work } from '../gpu/index.ts';
import { meanRows } from '../kernels/index.ts';
import { type Activation, type ModelRun, type Sequence, sequenceIn } from '../models/index.ts';
import type { CachedActivation } from './cache.ts';
import type { Span } from './columns.ts';
import type { Intervention } from './intervention.ts';
import { lengthAt, towerOf } from './names.ts';

/** The values for one target run. */
export interface SourceRows {
  /** Absent: the activation itself. */
  readonly tensor?: Tensor;
  /** Row for a target's position, the `i`th of the intervention's positions. */
  row(position: number, i: number): number;
  /** Column of the activation to which the tensor's column 0 belongs. */
  column(span: Span): number;
}

/** Gives each target run, in its row of the batch, its values. */
export type Source = (run: Sequence, spans: readonly Span[], batchRow: number) => SourceRows;

const NONE: SourceRows = { row: () => 0, column: () => 0 };

/**
 * @param runOf finds a run named by its batch row
 * @throws NoticeError('hook'), ShapeError if the source does not fit
 */
export function sourceOf(
  w: Work,
  activation: Activation,
  intervention: Intervention,
  runs: readonly ModelRun[],
  runOf: (run: ModelRun | number) => ModelRun,
): Source {
  const { hook, op, source, positions } = intervention;
  if (op === 'zero' || op === 'scale') return () => NONE;
  if (op === 'mean') return meanSource(w, activation, runs);
  if (!source) throw new NoticeError('hook', `the intervention "${op}" on ${hook} needs a source`);
  if ('values' in source) return valueSource(w, intervention, source.values);
  if (source.positions && source.positions.length !== positions?.length)
    throw new ShapeError(
      `${hook}: ${source.positions.length} source positions for ${positions?.length ?? 'all'} target positions`,
    );
  const from = (position: number, i: number) => source.positions?.[i] ?? position;
  if ('cached' in source) {
    const { cached } = source;
    const { tensor } = cached; // one that was released is the first thing to say
    return (run, _, batchRow) => {
      const batch = source.batch ?? pairedRow(hook, cached, batchRow, runs.length);
      checkCached(activation, run, cached, batch);
      const step = activation.size - cached.size;
      return {
        tensor,
        row: (position, i) => cached.row(batch, from(position, i)),
        // Keys of a head may have more room in one of the two.
        column: ({ head }) => (cached.keys ? head * step : 0),
      };
    };
  }
  const other = sequenceIn(runOf(source.run), towerOf(hook));
  return (run) => {
    checkKeys(activation, run, activation.keysOf(other));
    return {
      ...NONE,
      row: (position, i) => {
        const row = activation.rowOf(other, from(position, i));
        if (row < 0)
          throw new NoticeError('hook', `${hook}: the source has no position ${from(position, i)}`);
        return row;
      },
    };
  };
}

/** The mean of all positions that the batch has there now; a row that two runs share counts for both. */
function meanSource(w: Work, activation: Activation, runs: readonly ModelRun[]): Source {
  const own = runs.map((run) => sequenceIn(run, towerOf(activation.name)));
  const rows = own.flatMap((run) =>
    Array.from({ length: lengthAt(activation.name, run) }, (_, p) => activation.rowOf(run, p)),
  );
  const tensor = meanRows(w, activation.tensor, [rows.filter((row) => row >= 0)]);
  return (run) => {
    for (const other of own) checkKeys(activation, run, activation.keysOf(other));
    return { ...NONE, tensor };
  };
}

/** Values that the caller gives: one row for every position, or one for all of them. */
function valueSource(w: Work, { hook, positions }: Intervention, values: Float32Array): Source {
  const uploaded = new Map<number, Tensor>();
  return (run, spans) => {
    const width = spans.reduce((sum, { count }) => sum + count, 0);
    const count = positions?.length ?? lengthAt(hook, run);
    const rows = values.length / width;
    if (rows !== 1 && rows !== count)
      throw new ShapeError(
        `${hook}: ${values.length} values for ${count} positions of ${width} elements; ` +
          `expected ${width} or ${count * width}`,
      );
    let tensor = uploaded.get(width);
    if (!tensor) {
      tensor = w.upload(values, rows, width, 'patch values');
      uploaded.set(width, tensor);
    }
    return { tensor, row: (_, i) => (rows === 1 ? 0 : i), column: ({ first, offset }) => first - offset };
  };
}

/** The cached row that belongs to a target's row of the batch, where none is named. */
function pairedRow(hook: string, { name, lengths }: CachedActivation, row: number, rows: number): number {
  if (lengths.length === 1) return 0;
  if (lengths.length === rows) return row;
  throw new NoticeError(
    'hook',
    `${hook}: the cached ${name} holds ${lengths.length} rows, the batch has ${rows}, so it is not clear which belongs ` +
      'to which; name one with `batch`',
  );
}

function checkCached(activation: Activation, run: Sequence, cached: CachedActivation, batch: number): void {
  const { name, heads, size, columns } = activation;
  if ((columns === 'keys') !== (cached.keys !== undefined))
    throw new ShapeError(
      `${name} and the source ${cached.name}: the one has keys where the other has features`,
    );
  const ours = columns === 'keys' ? heads : heads * size;
  const theirs = columns === 'keys' ? cached.heads : cached.heads * cached.size;
  if (ours !== theirs)
    throw new ShapeError(
      `${name} has ${ours} ${columns === 'keys' ? 'heads' : 'features'}, the source ${cached.name} has ${theirs}`,
    );
  checkKeys(activation, run, cached.keys?.[batch] ?? 0);
}

/** Where columns are keys, they are to be those of as many positions. */
function checkKeys(activation: Activation, run: Sequence, keys: number): void {
  if (activation.columns === 'keys' && activation.keysOf(run) !== keys)
    throw new ShapeError(`${activation.name} has ${activation.keysOf(run)} keys, the source ${keys}`);
}
