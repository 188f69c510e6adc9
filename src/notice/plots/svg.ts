// SVG elements outside a browser, and the one way they become text.

import { DOMParser } from 'linkedom';

const NAMESPACE = 'http://www.w3.org/2000/svg';

const document = new DOMParser().parseFromString(
  `<svg xmlns="${NAMESPACE}"/>`,
  'image/svg+xml',
) as unknown as Document;

/** A piece of a figure with its size in pixels. */
export interface Block {
  readonly element: SVGElement;
  readonly width: number;
  readonly height: number;
}

/** A picture of a figure, with what it says in words and in numbers. */
export interface Panel extends Block {
  /** In place of the picture, for those who do not see it. */
  readonly alt: string;
  readonly table?: PanelTable;
}

/** The numbers that a panel shows; undefined where there is none. */
export interface PanelTable {
  readonly title: string;
  /** What the rows are. */
  readonly rowLabel: string;
  readonly columns: readonly string[];
  readonly rows: readonly { readonly name: string; readonly values: readonly (number | undefined)[] }[];
}

/** An element; strings among the children become text nodes, so nothing in them can be markup. */
export function svgElement(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  ...children: (SVGElement | string)[]
): SVGElement {
  const element = document.createElementNS(NAMESPACE, name) as SVGElement;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  for (const child of children) {
    element.appendChild(typeof child === 'string' ? document.createTextNode(child) : child);
  }
  return element;
}

/** Puts a block at a place of the figure. */
export function placed({ element, width, height }: Block, x: number, y: number): SVGElement {
  return svgElement('svg', { x, y, width, height }, element);
}

/**
 * The text of a finished figure. Characters that XML does not allow (control characters, halves of surrogate pairs)
 * become U+FFFD: text of data sets may hold them, and the file would not open.
 */
export function serialize(svg: SVGElement): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return `${svg.outerHTML.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd')}\n`;
}
