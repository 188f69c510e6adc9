// What figures say, read back from their SVG. How they look was judged by eye.

import { readFileSync } from 'node:fs';
import { DOMParser } from 'linkedom';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import type { Modality } from '../../../src/analysis/cell.ts';
import { type UniversalHeads, universalHeads } from '../../../src/analysis/universal-heads.ts';
import { type BarChart, barChart as drawBars } from '../../../src/notice/plots/bar-chart.ts';
import { figureSvg } from '../../../src/notice/plots/figure.ts';
import { headMap as drawHeads, type HeadMap } from '../../../src/notice/plots/head-map.ts';
import {
  layerProfiles as drawProfiles,
  type LayerProfiles,
} from '../../../src/notice/plots/layer-profiles.ts';
import {
  moduleHeatmap as drawModules,
  type ModuleHeatmap,
} from '../../../src/notice/plots/module-heatmap.ts';
import { overlayFigure as drawOverlays, type OverlayFigure } from '../../../src/notice/plots/overlay.ts';
import { renderPng } from '../../../src/notice/plots/png.ts';

// Figures as one picture.
const barChart = (figure: BarChart) => figureSvg(drawBars(figure));
const headMap = (figure: HeadMap) => figureSvg(drawHeads(figure));
const layerProfiles = (figure: LayerProfiles) => figureSvg(drawProfiles(figure));
const moduleHeatmap = (figure: ModuleHeatmap) => figureSvg(drawModules(figure));
const overlayFigure = async (figure: OverlayFigure) => figureSvg(await drawOverlays(figure));

const RED = 'rgb(103, 0, 31)';
const BLUE = 'rgb(5, 48, 97)';
const NEUTRAL = 'rgb(247, 247, 247)';
const GREY = '#d0d0d0';

const parse = (svg: string): Document =>
  new DOMParser().parseFromString(svg, 'image/svg+xml') as unknown as Document;

/** Attribute values of all elements that match. */
const attributes = (svg: string, selector: string, name: string): string[] =>
  [...parse(svg).querySelectorAll(selector)].map((element) => element.getAttribute(name) ?? '');

const texts = (svg: string): string[] =>
  [...parse(svg).querySelectorAll('text')].map((element) => element.textContent ?? '');

/** Fills of the cells of all panels in order. */
const fills = (svg: string): string[] => attributes(svg, '[data-marks="cell"] > rect', 'fill');

describe('module heatmap', () => {
  const figure: ModuleHeatmap = {
    title: 'Modules',
    subtitle: 'model · scenes',
    label: 'LD′ − LD* (logits)',
    n: 60,
    noiseFloor: 0.01,
    labelled: true,
    panels: [
      {
        row: 'MLP',
        column: 'SIP',
        roles: ['correct', 'end'],
        values: [
          [4, -4, 0],
          [2, 0.001, undefined],
        ],
      },
      {
        row: 'MLP',
        column: 'STR',
        roles: ['correct', 'end'],
        values: [
          [1, 1, 1],
          [1, 1, 1],
        ],
      },
    ],
  };
  const svg = moduleHeatmap(figure);

  it('has one scale for all panels, neutral at zero, grey below the noise floor', () => {
    const [plus, minus, zero, two, tiny, other] = fills(svg);
    expect([plus, minus]).toEqual([RED, BLUE]);
    expect(zero).toBe(GREY); // 0 is below any floor
    expect(tiny).toBe(GREY);
    expect(fills(svg)).toHaveLength(5 + 6); // the missing cell has none
    expect(other).not.toBe(RED); // 1 of 4, although it is the second panel's largest
    expect(two).not.toBe(other);
    expect(fills(moduleHeatmap({ ...figure, noiseFloor: undefined }))[2]).toBe(NEUTRAL);
  });

  it('writes values, axes, unit, count and noise floor', () => {
    const written = texts(svg);
    for (const text of ['4.00', '−4.00', '0.00', '–', 'layer', 'token', 'MLP · SIP', 'LD′ − LD* (logits)']) {
      expect(written).toContain(text);
    }
    expect(written.filter((text) => text === '−4' || text === '4')).toEqual(['−4', '4']); // colour bar
    expect(written.join(' ')).toMatch(
      /–: no such token\. Grey cells are below the noise floor\. n = 60\. Noise floor: 0\.01\./,
    );
  });

  it('does not write values unless asked, and is the same every time', () => {
    const plain = moduleHeatmap({ ...figure, labelled: false });
    expect(texts(plain)).not.toContain('4.00');
    expect(moduleHeatmap({ ...figure, labelled: false })).toBe(plain);
  });

  it('has the colours of a limit that figures share, and decimals of its own', () => {
    const limit = moduleHeatmap({ ...figure, limit: 8 });
    expect(fills(limit)).not.toContain(RED); // 4 of 8
    expect(texts(limit)).toEqual(expect.arrayContaining(['8', '−8', '4.00']));
  });

  it('of nothing but zeros is neutral', () => {
    const zeros = {
      ...figure,
      noiseFloor: undefined,
      panels: [{ ...figure.panels[1]!, values: [[0, 0, 0]], roles: ['end'] }],
    };
    expect(fills(moduleHeatmap(zeros))).toEqual([NEUTRAL, NEUTRAL, NEUTRAL]);
  });
});

describe('head map', () => {
  const golden = JSON.parse(readFileSync('test/fixtures/shapes/analysis.json', 'utf8')) as Record<
    string,
    Record<Modality, { mean_logit_difference: number[][] }>
  >;
  const result = universalHeads(
    ['scenes', 'states', 'faces'].flatMap((task) =>
      (['image', 'text'] as const).map((modality) => ({
        task,
        modality,
        corruption: modality === 'image' ? ('sip' as const) : ('str' as const),
        site: 'text_encoder.cross_attn.hook_z',
        samples: ['one'],
        values: golden[task]![modality].mean_logit_difference.map((heads) => heads.map((value) => [value])),
        category: 'all',
      })),
    ),
    'signed',
  );
  const frames = (svg: string) => attributes(svg, '[data-marks="cell"] > rect', 'x').length;

  it('frames the heads that pass, and says that none is universal', () => {
    const svg = headMap({ title: 'Heads', result });
    // 6 panels of 16 heads; framed are 1 + 1 (scenes), 2 + 1 (states), none (faces).
    expect(frames(svg)).toBe(96 + 5);
    expect(fills(svg).filter((fill) => fill === RED)).toHaveLength(1);
    expect(texts(svg)).toContain('no head is universal');
    expect(texts(svg)).toContain('mean LD′ − LD* (logits)');
    expect(texts(svg)).not.toContain('●');
  });

  it('marks universal heads by class where they are universal', () => {
    const head = { layer: 1, head: 1 };
    const marked = (classes: UniversalHeads['classes']) =>
      texts(headMap({ title: 'Heads', result: { ...result, universal: { image: [head] }, classes } }));
    const visionOnly = marked({ 'vision-only': [head], 'text-only': [], multimodal: [] });
    expect(visionOnly.filter((text) => text === '●')).toHaveLength(3 + 1); // image panels and the legend
    expect(visionOnly).toContain('universal, vision-only');
    const both = marked({ 'vision-only': [], 'text-only': [], multimodal: [head] });
    expect(both.filter((text) => text === '◆')).toHaveLength(6 + 1);
    expect(marked(undefined).filter((text) => text === '★')).toHaveLength(3 + 1);
  });

  it('names the quantity of the absolute statistic', () => {
    const svg = headMap({ title: 'Heads', result: { ...result, statistic: 'absolute' } });
    expect(texts(svg)).toContain('mean |LD′ − LD*| (logits)');
  });
});

describe('layer profiles', () => {
  const point = (mean: number) => ({ mean, low: mean - 1, high: mean + 1 });

  it('draw a line and a band per series, broken where there is no point', () => {
    const svg = layerProfiles({
      title: 'Profiles',
      label: 'LD′ − LD* (logits)',
      n: 10,
      panels: [
        {
          title: 'scenes',
          series: { SIP: [1, 2, 3].map(point), noise: [point(0), undefined, point(1), point(2)] },
        },
      ],
    });
    const lines = attributes(svg, '[data-marks="line"] > path', 'd');
    expect(lines.map((line) => line.split('M').length - 1)).toEqual([1, 2]);
    expect(attributes(svg, '[data-marks="area"] > path', 'd')).toHaveLength(2);
    expect(new Set(attributes(svg, '[data-marks="line"]', 'stroke-dasharray')).size).toBe(2);
    expect(texts(svg)).toEqual(expect.arrayContaining(['SIP', 'noise', 'scenes', '↑ LD′ − LD* (logits)']));
  });

  it('share the vertical axis between panels', () => {
    const panel = (top: number) => ({ title: String(top), series: { SIP: [point(top), point(0)] } });
    const svg = layerProfiles({ title: 'Profiles', label: 'x', n: 10, panels: [panel(50), panel(5)] });
    const [first, second] = attributes(svg, '[data-marks="line"] > path', 'd').map((d) =>
      d.match(/[\d.]+/g)!.map(Number),
    );
    expect(first!.at(-1)).toBeCloseTo(second!.at(-1)!, 6); // the same zero
    expect(first![1]).toBeLessThan(second![1]!); // 50 is drawn higher than 5
  });
});

describe('bar chart', () => {
  const groups = [
    { name: 'scenes', series: { clean: { mean: 0.5, low: 0.4, high: 0.6 } } },
    { name: 'states', series: { clean: { mean: 1, low: 0.9, high: 1 } } },
  ];

  it('has bars in proportion from zero, and whiskers at the ends of the intervals', () => {
    const svg = barChart({ title: 'Accuracy', label: 'accuracy', percent: true, n: 120, groups });
    const heights = attributes(svg, '[data-marks="bar"] rect', 'height').map(Number);
    expect(heights[1]! / heights[0]!).toBeCloseTo(2, 6);
    const ends = ['y1', 'y2'].map((end) => attributes(svg, '[data-marks="rule"] line', end).map(Number));
    const whiskers = ends[0]!.map((end, i) => Math.abs(end - ends[1]![i]!)).filter((length) => length > 0);
    expect(whiskers[0]! / heights[0]!).toBeCloseTo(0.4, 6); // 0.2 of 0.5
    expect(texts(svg)).toEqual(expect.arrayContaining(['50 %', '100 %', 'scenes', '↑ accuracy']));
  });

  it('explains the dashed line, and shows a legend only for several series', () => {
    const one = barChart({
      title: 'A',
      label: 'accuracy',
      n: 1,
      groups,
      reference: { value: 0.5, name: 'chance' },
    });
    expect(texts(one)).not.toContain('clean');
    expect(texts(one).join(' ')).toContain('The dashed line is chance.');
    const series = { clean: groups[0]!.series.clean, corrupt: groups[0]!.series.clean };
    expect(texts(barChart({ title: 'A', label: 'accuracy', n: 1, groups: [{ name: 'a', series }] }))).toEqual(
      expect.arrayContaining(['clean', 'corrupt']),
    );
  });
});

describe('overlay figure', () => {
  // (187, 43, 168) has the luma 0.299 · 187 + 0.587 · 43 + 0.114 · 168 = 100.3.
  const image = { width: 4, height: 4, data: new Uint8Array(48).map((_, i) => [187, 43, 168][i % 3]!) };
  const grid = (...values: number[]) => ({ rows: 2, columns: 2, data: Float32Array.from(values) });

  it('lays the colours over the image the denser the larger they are, none at zero', async () => {
    const svg = await overlayFigure({
      title: 'Overlays',
      n: 1,
      size: 64,
      rows: [
        {
          image,
          label: 'red? red',
          box: [1, 1, 3, 3],
          overlays: [
            { title: 'L0.H0', grid: grid(0.5, -0.5, 0, 0.25) },
            { title: 'L0.H1', grid: grid(0, 0, 0, 0) },
          ],
        },
      ],
    });
    const pictures = attributes(svg, 'image', 'href').map((href) =>
      sharp(Buffer.from(href.replace('data:image/png;base64,', ''), 'base64'))
        .raw()
        .toBuffer(),
    );
    const [plain, first, second] = await Promise.all(pictures);
    const at = (pixels: Buffer | undefined, x: number, y: number) => [
      ...pixels!.subarray(3 * (64 * y + x), 3 * (64 * y + x) + 3),
    ];
    expect(at(plain, 5, 5)).toEqual([187, 43, 168]);
    // A fifth of 100 and 0.8 of red (255, 0, 0) and blue (40, 110, 255); the image in grey; 0.6 of it and 0.4 of red.
    expect(at(first, 2, 2)).toEqual([224, 20, 20]);
    expect(at(first, 62, 2)).toEqual([52, 108, 224]);
    expect(at(first, 2, 62)).toEqual([100, 100, 100]);
    expect(at(first, 62, 62)).toEqual([162, 60, 60]);
    expect(at(second, 30, 30)).toEqual([100, 100, 100]);
    expect(texts(svg)).toEqual(expect.arrayContaining(['L0.H0', 'L0.H1', '−0.5', '0.5', 'red? red']));
    // The box: half of the picture, outlined in each of the three.
    expect(attributes(svg, 'rect[stroke="#ffd400"]', 'width')).toEqual(['32', '32', '32']);
  });
});

describe('text of data sets', () => {
  const hostile = '</text><script>alert(1)</script>&lt;"\' ]]> \u0000\u0008\ud800 \u202e日本 <b>';

  it('stays text in every place of every figure', async () => {
    const text = { title: hostile, subtitle: hostile, caption: hostile, n: hostile };
    const figures = [
      moduleHeatmap({
        ...text,
        label: hostile,
        panels: [{ row: hostile, column: hostile, roles: [hostile], values: [[1]] }],
      }),
      headMap({
        ...text,
        result: {
          statistic: 'signed',
          selections: [
            {
              task: hostile,
              modality: 'image',
              n: 1,
              scores: [[1]],
              mean: 1,
              sd: 0,
              threshold: 1,
              passing: [],
            },
          ],
          universal: {},
          classes: undefined,
        },
      }),
      layerProfiles({
        ...text,
        label: hostile,
        panels: [{ title: hostile, series: { [hostile]: [{ mean: 1, low: 0, high: 2 }] } }],
      }),
      barChart({
        ...text,
        label: hostile,
        reference: { value: 1, name: hostile },
        groups: [{ name: hostile, series: { [hostile]: { mean: 1, low: 0, high: 2 }, b: undefined } }],
      }),
      await overlayFigure({
        ...text,
        rows: [
          {
            image: { width: 2, height: 2, data: new Uint8Array(12) },
            label: hostile,
            overlays: [{ title: hostile, grid: { rows: 1, columns: 1, data: Float32Array.of(1) } }],
          },
        ],
      }),
    ];
    for (const svg of figures) {
      // The renderer's XML parser is strict: broken markup or a forbidden character would be an error here.
      expect(renderPng(svg, 1).length).toBeGreaterThan(1000);
      expect(parse(svg).querySelectorAll('script, b, style, foreignObject')).toHaveLength(0);
      expect(svg).not.toMatch(/<script|<b>/);
      expect(texts(svg).join('').replace(/\s/g, '')).toContain('<script>alert(1)</script>');
    }
  });
});
