// HTML from templates in which every value is escaped: data set text is untrusted, and nothing in it can become markup.

/** Text that is markup already. Made by {@link html} and {@link svgMarkup} alone. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type HtmlValue = string | number | Markup | undefined | readonly HtmlValue[];

/** A template whose values are escaped, but for markup made by this function. */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Markup {
  return new Markup(parts.map((part, i) => part + (i < values.length ? render(values[i]) : '')).join(''));
}

/** A figure's SVG, whose text nodes and attributes its DOM has escaped; it must begin with `<svg`. */
export function svgMarkup(svg: string): Markup {
  if (!svg.startsWith('<svg')) throw new Error('not an SVG element');
  return new Markup(svg);
}

function render(value: HtmlValue): string {
  if (value === undefined) return '';
  if (value instanceof Markup) return value.text;
  if (typeof value === 'object') return value.map(render).join('');
  return escapeHtml(String(value));
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] as string);
}
