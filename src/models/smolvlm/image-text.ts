// What the processors of SmolVLM and Idefics3 write in place of an image.

import type { ImageInput } from '../image-input.ts';

const MARK = '<fake_token_around_image>';

/**
 * Row and column before the features of every tile, a line for each row of tiles, then the whole picture. The marks are
 * tokens of some checkpoints and plain text for others.
 *
 * @param features of a tile
 */
export function imageText({ tiles }: Pick<ImageInput, 'tiles'>, features: number): string {
  const images = '<image>'.repeat(features);
  const { rows = 0, columns = 0 } = tiles ?? {};
  const lines = Array.from({ length: rows }, (_, row) =>
    Array.from({ length: columns }, (_, column) => `${MARK}<row_${row + 1}_col_${column + 1}>${images}`).join(
      '',
    ),
  );
  const cut = rows > 0 ? `${lines.join('\n')}\n\n` : '';
  return `${cut}${MARK}<global-img>${images}${MARK}`;
}
