// Where text goes in a figure. Widths are estimates for DejaVu Sans, on the generous side, so that nothing is cut off.

/** Width in pixels of a line of text; bold text is a good tenth wider. */
export function textWidth(text: string, fontSize: number): number {
  let ems = 0;
  for (const character of text) {
    if (
      /[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff00-\uff60]|\p{Emoji_Presentation}/u.test(
        character,
      )
    )
      ems += 1;
    else if (/[iljtfr.,:;'|!()[\] ]/.test(character)) ems += 0.4;
    else if (/[A-Zmw%@—→<>+=~#−]/.test(character)) ems += 0.8;
    else ems += 0.62;
  }
  return ems * fontSize;
}

/** Lines of at most `width` pixels, broken at spaces; a longer word is broken where it must be. */
export function wrapText(text: string, width: number, fontSize: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter(Boolean)) {
    if (line && textWidth(`${line} ${word}`, fontSize) > width) {
      lines.push(line);
      line = '';
    }
    line = line ? `${line} ${word}` : word;
    while (textWidth(line, fontSize) > width && line.length > 1) {
      const fitting = fittingLength(line, width, fontSize);
      lines.push(line.slice(0, fitting));
      line = line.slice(fitting);
    }
  }
  return line ? [...lines, line] : lines;
}

/** The text on one line, cut with an ellipsis if it is wider. */
export function fitText(text: string, width: number, fontSize: number): string {
  const line = text.replace(/\s+/g, ' ').trim();
  if (textWidth(line, fontSize) <= width) return line;
  return `${line.slice(0, fittingLength(line, width - fontSize, fontSize)).trimEnd()}…`;
}

/** Length of the longest beginning that fits, at least one character; never half of a surrogate pair. */
function fittingLength(text: string, width: number, fontSize: number): number {
  let length = 0;
  let used = 0;
  for (const character of text) {
    used += textWidth(character, fontSize);
    if (length > 0 && used > width) break;
    length += character.length;
  }
  return length;
}
