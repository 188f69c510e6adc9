// How the report looks: on wide and narrow screens, in the dark, on paper.

import { INK, PAPER, QUIET_INK, SERIES_COLORS } from '../plots/theme.ts';

/** Figures have their colours as attributes; text and axes of theirs follow the page, the colours of values do not. */
const FIGURE_COLORS = (
  [
    [INK, '--ink'],
    [QUIET_INK, '--quiet'],
    [PAPER, '--paper'],
  ] as const
)
  .map(
    ([color, name]) =>
      `svg[fill="${color}"], svg [fill="${color}"] { fill: var(${name}); } svg [stroke="${color}"] { stroke: var(${name}); }`,
  )
  .join('\n');

/** By role; with the name below each token, for colour is not all that tells them apart. */
const ROLE_COLORS = ['correct', 'incorrect', 'noun', 'or', 'image']
  .map((role, i) => `.role-${role} { --role: ${SERIES_COLORS[i]}; }`)
  .join(' ');

/** Of the figures of a section only those in the chosen measure. */
const CHOICES = ['p_patched', 'p_effect', 'ld_effect']
  .map(
    (measure) =>
      `section:has(input[value="${measure}"]:checked) figure[data-measure]:not([data-measure="${measure}"])`,
  )
  .join(',\n');

export const STYLE = `
:root { color-scheme: light dark; --paper: #fff; --ink: ${INK}; --quiet: ${QUIET_INK}; --line: #ddd; --link: #0b57a4; --mark: #d55e00; }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #15171b; --ink: #e8e8e8; --quiet: #b0b4bb; --line: #3b3e45; --link: #8ab8f5; --mark: #ffb000; }
}
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1120px; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
a { color: var(--link); } nav a { margin-right: 1rem; display: inline-block; padding: .15rem 0; }
:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }

figure { margin: 1.5rem 0; } figcaption span, .note { color: var(--quiet); } .note { font-size: .87rem; margin: .4rem 0; }
.legend, .panels { display: flex; flex-wrap: wrap; gap: .5rem; margin: .5rem 0; } .legend { gap: 0 .5rem; }
.legend svg { max-width: 100%; height: auto; }
.panel { max-width: 100%; overflow-x: auto; } .panel > svg { display: block; }
.shown { outline: 2px solid var(--mark); }
.tip { position: fixed; z-index: 1; max-width: calc(100vw - 16px); padding: .2rem .5rem; border-radius: 3px; background: var(--ink); color: var(--paper); font-size: .87rem; pointer-events: none; }
${FIGURE_COLORS}

.summary { font-size: 1.1rem; } pre { white-space: pre-wrap; background: color-mix(in srgb, var(--quiet) 12%, transparent); padding: .6rem; border-radius: 4px; }
.prompt { line-height: 2.6; } .prompt > span:first-child { color: var(--quiet); } [class*="role-"] { background: color-mix(in srgb, var(--role, transparent) 30%, transparent); print-color-adjust: exact; border-radius: 3px; padding: .1rem .3rem; border: 1px solid var(--line); }
.token { display: inline-block; line-height: 1.2; text-align: center; white-space: pre; } .token small { display: block; font-size: .7rem; }
${ROLE_COLORS}

.choice { border: 1px solid var(--line); border-radius: 4px; margin: 1rem 0; padding: .3rem .8rem; width: fit-content; } .choice label { display: inline-block; margin-right: 1rem; padding: .2rem 0; }
${CHOICES} { display: none; }

.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; overflow-wrap: normal; } caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
caption span { display: inline-block; position: sticky; left: 0; max-width: min(100%, calc(100vw - 2rem)); }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; } td.text { min-width: 16rem; white-space: normal; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
th button { all: unset; cursor: pointer; font-weight: 600; } th button:focus-visible { outline: 2px solid var(--mark); }
th { white-space: normal; min-width: 6rem; vertical-align: bottom; } th button::after { content: "\\a0↕"; color: var(--quiet); font-weight: 400; } th[aria-sort="ascending"] button::after { content: "\\a0↑"; } th[aria-sort="descending"] button::after { content: "\\a0↓"; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .2rem 1rem; } dt { color: var(--quiet); } dd { margin: 0; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--link); width: fit-content; }

@media (max-width: 600px) {
  body { margin-top: 1rem; } dl { grid-template-columns: minmax(0, 1fr); gap: 0; } dd { margin-bottom: .5rem; } th, td { padding: .2rem .4rem; }
}
@media print {
  body { max-width: none; margin: 0; padding: 0; font-size: 10pt; } nav, .choice, .tip, figure details, th button::after { display: none; }
  h1, h2, figcaption, caption, thead, tbody tr:nth-child(-n+3) { break-after: avoid; } figure, tr, .panel, table:not(:has(tbody tr:nth-child(25))) { break-inside: avoid; } thead { display: table-header-group; }
  .scroll, .panel { overflow: visible; } .panel > svg { max-width: 100%; height: auto; } table { max-width: 100%; overflow-wrap: anywhere; }
}
`;
