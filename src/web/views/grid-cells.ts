// Cells of a map: rectangles of them, and where keys lead.

export interface CellPlace {
  readonly row: number;
  readonly column: number;
}

/** All cells between two corners. */
export interface Rectangle {
  /** Where it was begun. */
  readonly from: CellPlace;
  /** Top left and bottom right corner. */
  readonly first: CellPlace;
  readonly last: CellPlace;
}

export function rectangleOf(from: CellPlace, to: CellPlace): Rectangle {
  return {
    from,
    first: { row: Math.min(from.row, to.row), column: Math.min(from.column, to.column) },
    last: { row: Math.max(from.row, to.row), column: Math.max(from.column, to.column) },
  };
}

/** Its cells, row by row. */
export function cellsOf({ first, last }: Rectangle): CellPlace[] {
  const cells: CellPlace[] = [];
  for (let row = first.row; row <= last.row; row++)
    for (let column = first.column; column <= last.column; column++) cells.push({ row, column });
  return cells;
}

/**
 * Where a key leads in a grid (ARIA Authoring Practices, grid pattern): arrows to the neighbour, Home and End to the row's
 * ends, with Ctrl to the grid's.
 *
 * @returns undefined for any other key
 */
export function keyMove(
  { key, ctrlKey }: { readonly key: string; readonly ctrlKey: boolean },
  { row, column }: CellPlace,
  rows: number,
  columns: number,
): CellPlace | undefined {
  const within = (r: number, c: number) => ({
    row: Math.min(Math.max(r, 0), rows - 1),
    column: Math.min(Math.max(c, 0), columns - 1),
  });
  switch (key) {
    case 'ArrowUp':
      return within(row - 1, column);
    case 'ArrowDown':
      return within(row + 1, column);
    case 'ArrowLeft':
      return within(row, column - 1);
    case 'ArrowRight':
      return within(row, column + 1);
    case 'Home':
      return within(ctrlKey ? 0 : row, 0);
    case 'End':
      return within(ctrlKey ? rows - 1 : row, columns - 1);
    default:
      return undefined;
  }
}
