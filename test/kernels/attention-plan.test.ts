import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../src/errors.ts';
import { chooseTileRows } from '../../src/kernels/attention-plan.ts';
import { type AttentionGroup, type AttentionPlan, planAttention } from '../../src/kernels/index.ts';

/** Groups of any size, some without queries, each query with at least one key. */
const group: fc.Arbitrary<AttentionGroup> = fc.uint32Array({ minLength: 1, maxLength: 70 }).chain((keys) =>
  fc
    .array(
      fc.record({
        query: fc.nat(1000),
        out: fc.nat(1000),
        keys: fc.integer({ min: 1, max: keys.length }),
      }),
      { maxLength: 40 },
    )
    .map((queries) => ({ keys, queries })),
);
const groups = fc.array(group, { maxLength: 12 });

/** The same, and of many keys, each query with at least one from any key on. */
const windows: fc.Arbitrary<AttentionGroup[]> = fc.array(
  fc.uint32Array({ minLength: 1, maxLength: 300 }).chain((keys) =>
    fc
      .array(
        fc
          .tuple(fc.nat(1000), fc.nat(1000), fc.nat(keys.length - 1))
          .chain(([query, out, first]) =>
            fc.integer({ min: first + 1, max: keys.length }).map((end) => ({ query, out, first, keys: end })),
          ),
        { maxLength: 40 },
      )
      .map((queries) => ({ keys, queries })),
  ),
  { maxLength: 6 },
);
const heads = fc.integer({ min: 1, max: 12 });
const scratch = fc.integer({ min: 0, max: 200_000 });

const rowsOf = (table: Uint32Array) =>
  Array.from({ length: table.length / 4 }, (_, i) => [...table.subarray(4 * i, 4 * i + 4)]);

interface Tile {
  readonly firstEntry: number;
  readonly entries: number;
  readonly keys: number[];
}

const tilesOf = (plan: AttentionPlan): Tile[] =>
  rowsOf(plan.tiles).map(([firstEntry, entries, firstKey, keys]) => ({
    firstEntry: firstEntry!,
    entries: entries!,
    keys: [...plan.keys.subarray(firstKey!, firstKey! + keys!)],
  }));

describe('planAttention', () => {
  it('lists every query once, in order, and covers the list with tiles and the tiles with chunks', () => {
    fc.assert(
      fc.property(groups, heads, scratch, (list, headCount, bytes) => {
        const plan = planAttention(list, headCount, bytes);
        const queries = list.flatMap((g) => g.queries);
        expect(rowsOf(plan.entries)).toEqual(queries.map(({ query, out, keys }) => [query, out, keys, keys]));
        const tiles = tilesOf(plan);
        let entry = 0;
        for (const tile of tiles) {
          expect(tile.firstEntry).toBe(entry);
          expect(tile.entries).toBeGreaterThan(0);
          expect(tile.entries).toBeLessThanOrEqual(plan.tileRows);
          entry += tile.entries;
        }
        expect(entry).toBe(queries.length);
        let tile = 0;
        entry = 0;
        for (const chunk of plan.chunks) {
          expect(chunk).toMatchObject({ firstTile: tile, firstEntry: entry });
          const own = tiles.slice(tile, tile + chunk.tiles);
          expect(own.reduce((sum, { entries }) => sum + entries, 0)).toBe(chunk.entries);
          tile += chunk.tiles;
          entry += chunk.entries;
        }
        expect(tile).toBe(tiles.length);
      }),
    );
  });

  it('gives every query the keys it sees, and a tile no more than its queries see', () => {
    fc.assert(
      fc.property(groups, heads, scratch, (list, headCount, bytes) => {
        const plan = planAttention(list, headCount, bytes);
        const wanted = list.flatMap((g) => g.queries.map(({ keys }) => [...g.keys.subarray(0, keys)]));
        const entries = rowsOf(plan.entries);
        for (const { firstEntry, entries: count, keys } of tilesOf(plan)) {
          const seen = entries.slice(firstEntry, firstEntry + count).map(([, , own]) => own!);
          expect(keys.length).toBe(Math.max(...seen));
          seen.forEach((own, r) => {
            expect(keys.slice(0, own)).toEqual(wanted[firstEntry + r]);
          });
        }
      }),
    );
  });

  it('lets every key of its group count for a query whose whole row is asked for', () => {
    fc.assert(
      fc.property(groups, heads, scratch, (list, headCount, bytes) => {
        const plan = planAttention(list, headCount, bytes, true);
        const queries = list.flatMap((g) => g.queries.map((query) => ({ ...query, all: g.keys })));
        expect(rowsOf(plan.entries)).toEqual(
          queries.map(({ query, out, keys, all }) => [query, out, keys, all.length]),
        );
        for (const { firstEntry, entries, keys } of tilesOf(plan))
          for (let e = firstEntry; e < firstEntry + entries; e++) expect(keys).toEqual([...queries[e]!.all]);
        const counted = plan.chunks.reduce((sum, { keysSeen }) => sum + keysSeen, 0);
        expect(counted).toBe(queries.reduce((sum, { all }) => sum + all.length, 0));
      }),
    );
  });

  it('lets a query see its keys from the first to the last, and none of its tile beside them', () => {
    fc.assert(
      fc.property(windows, heads, scratch, fc.boolean(), (list, headCount, bytes, wholeRows) => {
        const plan = planAttention(list, headCount, bytes, wholeRows);
        const queries = list.flatMap((g) => g.queries.map((query) => ({ ...query, all: g.keys })));
        const entries = rowsOf(plan.entries);
        expect(entries.map(([query, out]) => [query, out])).toEqual(
          queries.map(({ query, out }) => [query, out]),
        );
        let covered = 0;
        for (const { firstEntry, entries: count, keys } of tilesOf(plan)) {
          expect(firstEntry).toBe(covered);
          covered += count;
          for (let e = firstEntry; e < firstEntry + count; e++) {
            const { first = 0, keys: end, all } = queries[e]!;
            const [, , seen, counted] = entries[e]!;
            const lower = plan.firsts?.[e] ?? 0;
            expect(keys.slice(lower, seen)).toEqual([...all.subarray(first, end)]);
            expect(keys.length).toBeGreaterThanOrEqual(counted!);
            if (wholeRows) expect([lower, counted, keys]).toEqual([first, all.length, [...all]]);
            else expect([counted, lower < 64]).toEqual([seen, true]);
          }
        }
        expect(covered).toBe(queries.length);
        expect(plan.firsts === undefined).toBe(!plan.firsts?.some((first) => first > 0));
      }),
    );
  });

  it('gives windows that begin nearly together one tile', () => {
    const queries = Array.from({ length: 64 }, (_, i) => ({
      query: i,
      out: i,
      first: 64 + i,
      keys: 200 + i,
    }));
    const plan = planAttention([{ keys: new Uint32Array(300), queries }], 1, Number.POSITIVE_INFINITY);
    expect(plan.tiles.length / 4).toBe(64 / plan.tileRows);
    expect(plan.pitch).toBe(200);
  });

  it('keeps chunks within the scratch memory, unless one tile alone exceeds it', () => {
    fc.assert(
      fc.property(groups, heads, scratch, (list, headCount, bytes) => {
        const plan = planAttention(list, headCount, bytes);
        const longest = Math.max(0, ...list.flatMap((g) => g.queries.map(({ keys }) => keys)));
        expect(plan.pitch).toBe(4 * Math.ceil(longest / 4));
        const entryBytes = 4 * headCount * plan.pitch;
        const sizes = tilesOf(plan).map(({ entries }) => entries);
        plan.chunks.forEach((chunk, i) => {
          if (chunk.tiles > 1) expect(chunk.entries * entryBytes).toBeLessThanOrEqual(bytes);
          // The first tile of the next chunk would not have fitted.
          const next = plan.chunks[i + 1];
          if (next) expect((chunk.entries + sizes[next.firstTile]!) * entryBytes).toBeGreaterThan(bytes);
        });
      }),
    );
  });

  it('counts the keys that a chunk’s entries see', () => {
    fc.assert(
      fc.property(groups, heads, scratch, (list, headCount, bytes) => {
        const plan = planAttention(list, headCount, bytes);
        const seen = rowsOf(plan.entries).map(([, , keys]) => keys!);
        for (const { firstEntry, entries, keysSeen } of plan.chunks) {
          const own = seen.slice(firstEntry, firstEntry + entries);
          expect(keysSeen).toBe(own.reduce((sum, keys) => sum + keys, 0));
        }
      }),
    );
  });

  it('never puts more entries into a chunk than a grid is wide', () => {
    const queries = Array.from({ length: 70_000 }, (_, query) => ({ query, out: query, keys: 1 }));
    const plan = planAttention([{ keys: Uint32Array.of(0), queries }], 1, Number.POSITIVE_INFINITY);
    expect(plan.chunks.length).toBe(2);
    for (const { entries } of plan.chunks) expect(entries).toBeLessThanOrEqual(65535);
  });

  it.each([0, 4, -1, Number.NaN])('refuses a query that sees %f of 3 keys', (keys) => {
    const call = () =>
      planAttention([{ keys: Uint32Array.of(5, 6, 7), queries: [{ query: 9, out: 0, keys }] }], 1, 1);
    expect(call).toThrow(ShapeError);
    expect(call).toThrow(`query row 9 sees ${keys} of its group's 3 keys`);
  });
});

it('refuses a query that sees nothing between its first key and its last', () => {
  const queries = [{ query: 9, out: 0, first: 2, keys: 2 }];
  expect(() => planAttention([{ keys: Uint32Array.of(5, 6, 7), queries }], 1, 1)).toThrow(
    "query row 9 sees 2 to 2 of its group's 3 keys",
  );
});

describe('chooseTileRows', () => {
  it('takes one of the heights that kernels are built for, whatever wastes least', () => {
    expect(chooseTileRows([])).toBeGreaterThan(0);
    expect(chooseTileRows([1, 1, 1])).toBe(1);
    expect(chooseTileRows([577])).toBe(8);
    expect(chooseTileRows([4, 4, 4, 4])).toBe(4);
    expect(chooseTileRows([6, 12])).toBe(6);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1 }), (sizes) => {
        expect([1, 4, 6, 8]).toContain(chooseTileRows(sizes));
      }),
    );
  });
});
