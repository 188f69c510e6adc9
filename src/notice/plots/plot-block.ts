// Observable Plot's drawings as pieces of figures. In a file of its own: its types need a DOM, which those of figures do not.

import * as Plot from '@observablehq/plot';
import { type Block, svgElement } from './svg.ts';
import { FONT_FAMILY, FONT_SIZE } from './theme.ts';

const { ownerDocument: document } = svgElement('svg', {});

/** Draws with Observable Plot. */
export function plotBlock(options: Plot.PlotOptions & { width: number; height: number }): Block {
  const element = Plot.plot({ ...options, document }) as SVGElement;
  // The style sheet of Plot speaks to pages; a figure stands for itself.
  element.querySelector('style')?.remove();
  element.removeAttribute('class');
  // Plot names its groups of marks by labels that ARIA does not allow there, for nothing that has no role is read.
  for (const group of element.querySelectorAll('[aria-label]')) {
    group.setAttribute('data-marks', group.getAttribute('aria-label') ?? '');
    group.removeAttribute('aria-label');
  }
  element.setAttribute('font-family', FONT_FAMILY);
  element.setAttribute('font-size', String(FONT_SIZE));
  return { element, width: options.width, height: options.height };
}
