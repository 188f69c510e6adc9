// Convolutions of feature maps, as products: what each output pixel sees is laid out as a row, band by band, and
// multiplied with the weights. So every way to store weights, and every matmul kernel, serves convolutions too.

import { checkShape } from '../errors.ts';
import { isContiguous, rowsOf, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import { ELEMENT_THREADS, elementGrid } from './grid.ts';
import { matmul } from './matmul.ts';
import { kernel } from './source.ts';
import type { LinearWeight, Vector } from './weight.ts';

const WG = ELEMENT_THREADS;
/** Rows of a band take at most this many bytes. */
const BAND_BYTES = 96 * 1024 * 1024;

/** Feature maps of some images, channels last. */
export interface FeatureMaps {
  /** [images · height · width, channels], contiguous; pixels row by row within each image. */
  readonly x: Tensor;
  readonly images: number;
  readonly height: number;
  readonly width: number;
}

export interface ConvOptions {
  readonly bias?: Vector | undefined;
  /** Default 1. */
  readonly stride?: 1 | 2;
  /** Zeros above and left of the map; below and right there are as many, or what `size` needs. Default 1. */
  readonly padding?: 0 | 1;
  /** Height and width that the map is enlarged to before, by nearest neighbour as torch.nn.functional.interpolate. */
  readonly enlarged?: readonly [height: number, width: number];
  /** Height and width of the result; default those of torch's padding of 1 on all sides. */
  readonly size?: readonly [height: number, width: number];
  /** Added last, as large as the result. */
  readonly residual?: Tensor | undefined;
  /** Bytes that what the pixels see may take at a time. For tests. */
  readonly bandBytes?: number;
}

/**
 * A 3 × 3 convolution, torch.nn.functional.conv2d.
 *
 * @param weight [out, 9 · channels], columns tap by tap: (ky, kx, channel), see `WeightLoader.kernels`
 * @returns maps of [images · height · width, out]. A pixel's bits do not depend on the bands.
 * @throws ShapeError
 */
export function convolve(
  w: Work,
  { x, images, height, width }: FeatureMaps,
  weight: LinearWeight,
  {
    bias,
    stride = 1,
    padding = 1,
    enlarged = [height, width],
    size = [Math.ceil(enlarged[0] / stride), Math.ceil(enlarged[1] / stride)],
    residual,
    bandBytes = BAND_BYTES,
  }: ConvOptions = {},
): FeatureMaps {
  const [outHeight, outWidth] = size;
  checkShape(
    isContiguous(x) && x.rows === images * height * width && weight.columns === 9 * x.columns,
    () =>
      `convolution with ${weight.name}: ${shapeOf(x)} is not ${images} maps ${height} × ${width} × ${weight.columns / 9}`,
  );
  const vec4 = x.columns % 4 === 0;
  const source = kernel('conv_patches', [vec4 && 'vec4'], () => ({ constants: { WG, VEC4: vec4 } }));
  const channels = vec4 ? x.columns / 4 : x.columns;
  const rows = images * outHeight * outWidth;
  const out = w.empty(rows, weight.rows, `${weight.name} ∗ x`);
  const band = Math.max(1, Math.min(rows, Math.floor(bandBytes / (4 * weight.columns))));
  const seen = w.empty(band, weight.columns, 'what pixels see');
  for (let first = 0; first < rows; first += band) {
    const own = Math.min(band, rows - first);
    const count = 9 * channels * own;
    const { groups, threads } = elementGrid(w, count);
    w.dispatch(
      source,
      { M: x.buffer, X: seen.buffer },
      {
        count,
        threads,
        first,
        C: channels,
        ownH: height,
        ownW: width,
        H: enlarged[0],
        W: enlarged[1],
        outH: outHeight,
        outW: outWidth,
        S: stride,
        top: padding,
        left: padding,
      },
      groups,
    );
    matmul(w, rowsOf(seen, 0, own), weight, {
      bias,
      residual: residual && rowsOf(residual, first, own),
      out: rowsOf(out, first, own),
    });
  }
  w.release(seen);
  return { x: out, images, height: outHeight, width: outWidth };
}
