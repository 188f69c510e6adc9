import { createRequire } from 'node:module';
import { Resvg } from '@resvg/resvg-js';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { renderPng } from '../../../src/notice/plots/png.ts';
import { fitText, textWidth, wrapText } from '../../../src/notice/plots/text.ts';

const require = createRequire(import.meta.url);

/** Width of a line in DejaVu Sans, from its outlines. */
function drawnWidth(text: string): number {
  const escaped = text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="4000" height="50"><text y="30" font-size="20">${escaped}</text></svg>`;
  const font = {
    fontFiles: [require.resolve('dejavu-fonts-ttf/ttf/DejaVuSans.ttf')],
    loadSystemFonts: false,
  };
  return new Resvg(svg, { font: { ...font, defaultFontFamily: 'DejaVu Sans' } }).getBBox()?.width ?? 0;
}

describe('widths of text', () => {
  it.each([
    'text_encoder.cross_attn.hook_z',
    'is a star or cross inside the circle? star',
    'LD′ − LD* (logits)',
    'Mean change of the logit difference when one head is set to its clean value.',
    'Cross-Attention HEADS at MMMM WWWW 0123456789',
    'Größe, façade, Ελληνικά, Русский',
    'blip-vqa-base <b>&</b> 100 %',
  ])('are estimated generously: %s', (text) => {
    const ratio = textWidth(text, 20) / drawnWidth(text);
    expect(ratio).toBeGreaterThan(0.97);
    expect(ratio).toBeLessThan(1.35);
  });

  it('wrapped lines fit and keep every word', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), fc.integer({ min: 20, max: 300 }), (text, width) => {
        const lines = wrapText(text, width, 11);
        expect(lines.join('').replace(/\s/g, '')).toBe(text.replace(/\s/g, ''));
        for (const line of lines) {
          expect(line.length === 1 || textWidth(line, 11) <= width).toBe(true);
        }
      }),
    );
  });

  it('cut text ends in an ellipsis and never in half a character', () => {
    expect(fitText('short', 200, 11)).toBe('short');
    expect(fitText('a long name that does not fit', 80, 11)).toMatch(/^a long.*…$/);
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 15, max: 200 }), (text, width) => {
        expect(fitText(text, width, 11)).not.toMatch(/\p{Surrogate}/u);
      }),
    );
  });
});

describe('PNG', () => {
  it('draws text with the bundled fonts alone, at the scale asked for', async () => {
    const svg = (weight: string) =>
      `<svg xmlns="http://www.w3.org/2000/svg" width="120" height="30"><text x="5" y="20" font-size="16" font-weight="${weight}" font-family="DejaVu Sans, Verdana, sans-serif">Heads ′ − ◆</text></svg>`;
    const ink = async (weight: string) => {
      const { data, info } = await sharp(renderPng(svg(weight), 2))
        .greyscale()
        .raw()
        .toBuffer({ resolveWithObject: true });
      expect([info.width, info.height]).toEqual([240, 60]);
      return data.reduce((sum, value) => sum + (value < 128 ? 1 : 0), 0);
    };
    const [normal, bold] = [await ink('normal'), await ink('bold')];
    expect(normal).toBeGreaterThan(500);
    expect(bold).toBeGreaterThan(1.2 * normal);
    expect(renderPng(svg('bold'))).toEqual(renderPng(svg('bold')));
  });
});
