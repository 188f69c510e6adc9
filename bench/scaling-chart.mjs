// Lines over a logarithmic axis, as SVG.
import { SERIES_COLORS } from '../dist/notice/plots/theme.js';

const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM] = [700, 470, 50, 62, 170];

/** @param {{ title: string, label: string, caption: string, x: number[], series: { name: string, values: number[] }[] }} chart */
export function lineChart({ title, label, caption, x, series }) {
  const across = (value) =>
    LEFT + ((WIDTH - LEFT - 20) * Math.log2(value / x[0])) / Math.log2(x.at(-1) / x[0]);
  const down = (share) => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share;
  const text = (at, y, content, more = '') => `<text x="${at}" y="${y}" ${more}>${content}</text>`;
  const grid = [0, 0.25, 0.5, 0.75, 1].map(
    (share) =>
      `<line x1="${LEFT}" x2="${WIDTH - 20}" y1="${down(share)}" y2="${down(share)}" stroke="#ddd"/>` +
      text(LEFT - 6, down(share) + 4, `${100 * share} %`, 'text-anchor="end"'),
  );
  const ticks = x.map((value) => text(across(value), HEIGHT - BOTTOM + 18, value, 'text-anchor="middle"'));
  const lines = series.map(({ name, values }, i) => {
    // Of each pair the second is preempted.
    const style = `fill="none" stroke="${SERIES_COLORS[i >> 1]}" stroke-width="2" ${i % 2 ? 'stroke-dasharray="5,4"' : ''}`;
    const points = values
      .map((value, at) => `${across(x[at]).toFixed(1)},${down(value).toFixed(1)}`)
      .join(' ');
    const [column, row] = [LEFT + 330 * (i % 2), HEIGHT - BOTTOM + 62 + 20 * (i >> 1)];
    return (
      `<polyline points="${points}" ${style}/>` +
      `<line x1="${column}" x2="${column + 30}" y1="${row - 4}" y2="${row - 4}" ${style}/>${text(column + 38, row, name)}`
    );
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" font-family="DejaVu Sans" font-size="11" fill="#222">
<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>
${text(16, 26, title, 'font-size="15" font-weight="bold"')}${text(16, 48, `↑ ${label}`)}
${text(WIDTH - 20, HEIGHT - BOTTOM + 36, 'tasks →', 'text-anchor="end"')}
${[...grid, ...ticks, ...lines].join('\n')}
${text(16, HEIGHT - 18, caption, 'fill="#555"')}
</svg>`;
}
