// Figures: entry point `notice-webgpu-cli/figures`. Each function makes a drawing, `figureSvg` an SVG of it, `renderPng` a
// PNG of that.

export { type BarChart, barChart } from './bar-chart.ts';
export { type Drawing, type FigureText, figureSvg } from './figure.ts';
export { type HeadMap, headMap } from './head-map.ts';
export { type LayerProfiles, layerProfiles } from './layer-profiles.ts';
export { type ModuleHeatmap, type ModuleHeatmapPanel, moduleHeatmap } from './module-heatmap.ts';
export { type OverlayFigure, type OverlayRow, overlayFigure } from './overlay.ts';
export { renderPng } from './png.ts';
export type { Panel } from './svg.ts';
