// Attention overlays on images, several heads side by side (paper, Figures 6, 7, 18-20).

import sharp from 'sharp';
import { type Grid, upsample } from '../../analysis/overlay.ts';
import type { Box } from '../../analysis/patch-grid.ts';
import type { RgbImage } from '../../inputs/image.ts';
import { attentionScale, layer, type OverlayScale } from './colors.ts';
import { colorBar, type Drawing, type FigureText } from './figure.ts';
import { type Panel, svgElement } from './svg.ts';
import { fitText, wrapText } from './text.ts';
import { FONT_FAMILY, FONT_SIZE, INK } from './theme.ts';

export interface OverlayRow {
  /** As the model sees it: stretched or cropped to its square. */
  readonly image: RgbImage;
  /** Beneath the image, such as the question with its answer. */
  readonly label: string;
  /** The object, in pixels of `image`; outlined on every picture of the row. */
  readonly box?: Box;
  /** One picture per head. */
  readonly overlays: readonly { readonly title: string; readonly grid: Grid }[];
}

export interface OverlayFigure extends FigureText {
  readonly rows: readonly OverlayRow[];
  /** What the colours mean. Default the head's attention minus the average head's. */
  readonly label?: string;
  /** Side of a picture in pixels. Default 168: two stand side by side on a phone. */
  readonly size?: number;
}

/**
 * Each row is an image and the overlays of some heads: the head's attention minus the average head's, red where it looks
 * more and blue where less, the more opaque the larger the difference. All pictures share one scale.
 */
export async function overlayFigure(figure: OverlayFigure): Promise<Drawing> {
  const { rows, label: quantity = 'attention − average head', size = 168 } = figure;
  let limit = 0;
  for (const { grid } of rows.flatMap(({ overlays }) => overlays)) {
    for (const value of grid.data) limit = Math.max(limit, Math.abs(value));
  }
  const scale = attentionScale(limit || 1);
  const blocks = await Promise.all(
    rows.map(async ({ image, label, box, overlays }) => {
      const pixels = await resizeImage(image, size);
      const frame = box && { box, scaleX: size / image.width, scaleY: size / image.height };
      return Promise.all([
        picture(pixels, { size, label, alt: `The image of: ${label}`, frame }),
        ...overlays.map(({ title, grid }) =>
          picture(blend(pixels, upsample(grid, size, size), scale), {
            size,
            label: title,
            alt: `Where ${title} looks on the image of: ${label}`,
            frame,
          }),
        ),
      ]);
    }),
  );
  return {
    ...figure,
    legends: [[colorBar(scale, quantity)]],
    panels: blocks,
    notes: ['Colours lie over the image in grey, the denser the larger the difference; none where it is 0.'],
  };
}

/** [size, size, 3] */
async function resizeImage({ width, height, data }: RgbImage, size: number): Promise<Uint8Array> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .resize(size, size, { fit: 'fill' })
    .raw()
    .toBuffer();
}

/** The colours of the map laid over the image in grey (BT.601's luma): a red thing would hide what is red on it. */
function blend(pixels: Uint8Array, { data }: Grid, { rgb, opacity }: OverlayScale): Uint8Array {
  const out = new Uint8Array(pixels.length);
  data.forEach((value, i) => {
    const [red = 0, green = 0, blue = 0] = pixels.subarray(3 * i, 3 * i + 3);
    const grey = 0.299 * red + 0.587 * green + 0.114 * blue;
    out.set(layer([grey, grey, grey], rgb(value), opacity(value)).map(Math.round), 3 * i);
  });
  return out;
}

/** A picture with its box outlined and a few lines of text beneath. */
async function picture(
  pixels: Uint8Array,
  {
    size,
    label,
    alt,
    frame,
  }: {
    readonly size: number;
    readonly label: string;
    readonly alt: string;
    readonly frame: { box: Box; scaleX: number; scaleY: number } | undefined;
  },
): Promise<Panel> {
  const png = await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
    .png()
    .toBuffer();
  const lines = wrapText(label, size, FONT_SIZE).slice(0, 4);
  const height = size + 6 + lines.length * FONT_SIZE * 1.3;
  const element = svgElement(
    'svg',
    { width: size, height, 'font-family': FONT_FAMILY, 'font-size': FONT_SIZE, fill: INK },
    svgElement('image', {
      width: size,
      height: size,
      href: `data:image/png;base64,${png.toString('base64')}`,
    }),
    ...(frame ? outline(frame) : []),
    ...lines.map((line, i) =>
      svgElement('text', { x: 0, y: size + 4 + (i + 1) * FONT_SIZE * 1.25 }, fitText(line, size, FONT_SIZE)),
    ),
  );
  return { element, width: size, height, alt };
}

/** Black under yellow: seen on every colour of the map. */
function outline({ box, scaleX, scaleY }: { box: Box; scaleX: number; scaleY: number }): SVGElement[] {
  const [left, top, right, bottom] = box;
  const place = {
    x: left * scaleX,
    y: top * scaleY,
    width: (right - left) * scaleX,
    height: (bottom - top) * scaleY,
    fill: 'none',
  };
  return [
    svgElement('rect', { ...place, stroke: 'black', 'stroke-width': 3 }),
    svgElement('rect', { ...place, stroke: '#ffd400', 'stroke-width': 1.5 }),
  ];
}
