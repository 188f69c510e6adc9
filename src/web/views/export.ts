// A drawing of the page as a file: SVG that stands for itself, and PNG.

import { NoticeError } from '../../errors.ts';

/** What of an element's style a drawing needs where no style sheet is. */
const PROPERTIES = [
  'fill',
  'stroke',
  'stroke-width',
  'opacity',
  'font-family',
  'font-size',
  'font-weight',
  'text-anchor',
  'dominant-baseline',
] as const;

/** Pixels of a PNG for each CSS pixel. */
const SCALE = 2;

/**
 * A drawing as a file's text: styles of the page's sheets become attributes, pictures are put into it, what only shows where the
 * pointer is goes.
 */
export async function svgText(drawing: SVGSVGElement): Promise<string> {
  const copy = drawing.cloneNode(true) as SVGSVGElement;
  const [from, to] = [drawing, copy].map((root) => [root, ...root.querySelectorAll('*')]);
  from?.forEach((element, i) => {
    const style = getComputedStyle(element);
    const target = to?.[i] as Element;
    for (const property of PROPERTIES) target.setAttribute(property, style.getPropertyValue(property));
    for (const name of ['class', 'style', 'tabindex', 'aria-label', 'role']) target.removeAttribute(name);
  });
  const { width, height } = drawing.getBoundingClientRect();
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  copy.setAttribute('width', String(Math.round(width)));
  copy.setAttribute('height', String(Math.round(height)));
  if (!copy.hasAttribute('viewBox')) copy.setAttribute('viewBox', `0 0 ${width} ${height}`);
  await Promise.all(Array.from(copy.querySelectorAll('image'), embedPicture));
  return `${new XMLSerializer().serializeToString(copy)}\n`;
}

/** The picture of an `image`, from wherever the page has it, as a data: address. */
async function embedPicture(image: SVGImageElement): Promise<void> {
  const address = image.getAttribute('href') ?? '';
  if (address.startsWith('data:')) return;
  const blob = await pictureBlob(address);
  image.setAttribute('href', await dataAddress(blob));
}

/** A blob: address cannot be fetched under the page's policy, but it can be drawn. */
async function pictureBlob(address: string): Promise<Blob> {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  const canvas = canvasOf(picture.naturalWidth, picture.naturalHeight);
  contextOf(canvas).drawImage(picture, 0, 0);
  return pngOf(canvas);
}

/** A drawing as a PNG, on the page's background. */
export async function pngBlob(drawing: SVGSVGElement): Promise<Blob> {
  const picture = new Image();
  picture.src = await dataAddress(new Blob([await svgText(drawing)], { type: 'image/svg+xml' }));
  await picture.decode();
  const canvas = canvasOf(SCALE * picture.naturalWidth, SCALE * picture.naturalHeight);
  const context = contextOf(canvas);
  context.fillStyle = getComputedStyle(document.body).backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return pngOf(canvas);
}

function canvasOf(width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, width);
  canvas.height = Math.max(1, height);
  return canvas;
}

function contextOf(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext('2d');
  if (!context) throw new NoticeError('image', 'the browser gives no canvas to draw on');
  return context;
}

function pngOf(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) =>
      blob ? resolve(blob) : reject(new NoticeError('image', 'the browser cannot write this map as PNG')),
    ),
  );
}

function dataAddress(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result as string);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** Gives the user a file. */
export function download(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement('a');
  link.href = url;
  link.download = name.replace(/[^\p{L}\p{N}._-]+/gu, '-');
  link.click();
  // The browser reads it after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
