// Sizes and times as the page writes them.

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `5.8 MiB` */
export function bytesText(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${power === 0 ? bytes : (bytes / 1024 ** power).toPrecision(3)} ${UNITS[power]}`;
}

/** `3 s`, `2 min` */
export function secondsText(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
