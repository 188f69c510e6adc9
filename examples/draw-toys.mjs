// Draws labelled images for docs/tutorial.md: toys/{color}/{shape}/{n}.png, one object on a dark ground.
//
//   node examples/draw-toys.mjs [FOLDER]
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';

const COLORS = { red: '#d62728', blue: '#2358d9', green: '#2ca02c', yellow: '#f0d02b' };
const SHAPES = {
  circle: '<circle cx="0" cy="0" r="40"/>',
  square: '<rect x="-36" y="-36" width="72" height="72"/>',
  triangle: '<path d="M0 -42 L42 38 L-42 38 Z"/>',
  diamond: '<path d="M0 -48 L34 0 L0 48 L-34 0 Z"/>',
};
/** Centres in an image of 224 × 224. */
const PLACES = [
  [70, 80],
  [150, 90],
  [90, 150],
  [150, 150],
];

const [folder = 'toys'] = process.argv.slice(2);
for (const [color, fill] of Object.entries(COLORS))
  for (const [shape, outline] of Object.entries(SHAPES))
    for (const [i, [x, y]] of PLACES.entries()) {
      const path = join(folder, color, shape);
      mkdirSync(path, { recursive: true });
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="224" height="224"><rect width="224" height="224" fill="#14141c"/>
        <g transform="translate(${x} ${y})" fill="${fill}">${outline}</g></svg>`;
      await sharp(Buffer.from(svg))
        .png()
        .toFile(join(path, `${i}.png`));
    }
