// What all figures have in common: type, sizes and colours.

/** DejaVu Sans is what the PNG files use; Verdana has nearly the same widths where a page lacks it. */
export const FONT_FAMILY = 'DejaVu Sans, Verdana, sans-serif';
export const FONT_SIZE = 11;
export const TITLE_SIZE = 15;
/** How much wider bold text is. */
export const BOLD_WIDTH = 1.12;

/** Ground of figures, and halos of text on it. Pages replace it, INK and QUIET_INK in dark mode. */
export const PAPER = '#ffffff';
export const INK = '#222222';
export const QUIET_INK = '#555555';
/** Effects below the noise floor. */
export const BELOW_NOISE = '#d0d0d0';

/** Okabe and Ito's palette: different for people with any common colour blindness. In the order of use. */
export const SERIES_COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'];
