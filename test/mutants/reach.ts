// Which tests come past a place: files are rewritten so that they say when they do.

import ts from 'typescript';

/** A place to be told of, by its number. */
export interface Marked {
  readonly id: number;
  /** Where it begins and ends in the text. */
  readonly place: { readonly start: number; readonly end: number };
}

/**
 * The text with a call `globalThis.reached?.(id)` before each place: before the statement that holds it, so that it is made
 * also where the expression itself is skipped.
 *
 * @returns what of it is run when the file is loaded, not when it is called, has no call; `atLoad` has its numbers
 */
export function withMarks(
  file: ts.SourceFile,
  marked: readonly Marked[],
): { text: string; atLoad: number[] } {
  const insertions: { at: number; text: string }[] = [];
  const atLoad: number[] = [];
  for (const { id, place } of marked) {
    const anchor = anchorOf(innermost(file, place), file);
    const call = `globalThis.reached?.(${id})`;
    if (!anchor) atLoad.push(id);
    else if ('before' in anchor) insertions.push({ at: anchor.before, text: `;${call};` });
    else
      insertions.push(
        { at: anchor.around.getStart(file), text: `(${call}, ` },
        { at: anchor.around.getEnd(), text: ')' },
      );
  }
  let text = file.text;
  for (const { at, text: inserted } of insertions.sort((a, b) => b.at - a.at))
    text = text.slice(0, at) + inserted + text.slice(at);
  return { text, atLoad };
}

/** The smallest node that holds a range of the text. */
function innermost(file: ts.SourceFile, { start, end }: Marked['place']): ts.Node {
  let node: ts.Node = file;
  for (let inner: ts.Node | undefined = file; inner; ) {
    node = inner;
    inner = ts.forEachChild(node, (child) =>
      child.getStart(file) <= start && child.getEnd() >= end ? child : undefined,
    );
  }
  return node;
}

type Anchor = { readonly before: number } | { readonly around: ts.Node };

/** Where the call goes for what stands in a node; undefined where no function is around it. */
function anchorOf(place: ts.Node, file: ts.SourceFile): Anchor | undefined {
  for (let node = place; node !== file; node = node.parent) {
    const { parent } = node;
    if (ts.isBlock(node)) return isInFunction(node) ? { before: node.getStart(file) + 1 } : undefined;
    if (ts.isArrowFunction(parent) && parent.body === node) return { around: node };
    if (ts.isParameter(node) && 'body' in parent && parent.body) {
      const body = parent.body as ts.Node;
      return ts.isBlock(body) ? { before: body.getStart(file) + 1 } : { around: body };
    }
    if (ts.isStatement(node) && (ts.isBlock(parent) || ts.isCaseOrDefaultClause(parent)))
      return isInFunction(node) ? { before: node.getStart(file) } : undefined;
  }
  return undefined;
}

function isInFunction(node: ts.Node): boolean {
  return ts.findAncestor(node, ts.isFunctionLike) !== undefined;
}
