// A user's WGSL whose loops end. What is scanned is also what is compiled, without its comments, so that it cannot mean one
// thing here and another to the compiler. WGSL has no strings, and no braces in an expression.

/** From the keyword of a loop to the brace that opens its body: keywords cannot be names. */
const LOOP = /(?<!\p{XID_Continue})(?:loop|while|for)(?!\p{XID_Continue})[^{]*\{/gu;

/** WGSL's line breaks. */
const LINE_BREAK = /[\n\v\f\r\u0085\u2028\u2029]/;

/**
 * Statements of a function `edit` with a look at the limit at the begin of every turn: `break` is allowed there in any loop,
 * unlike `return`, and ends those around it at their next turn. As that makes an end of loops that had none, the function
 * gets one, too.
 */
export function withLoopLimit(body: string): string {
  const text = withoutComments(body);
  const limited = text.replace(LOOP, (head) => `${head} if (pastLoopLimit()) { break; }`);
  return limited === text ? body : `${limited}\nreturn value;`;
}

/** A space for each comment. Those in /* and *\/ can be nested. */
function withoutComments(text: string): string {
  let kept = '';
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const two = text.slice(i, i + 2);
    if (two === '/*') {
      depth++;
      i++;
    } else if (depth > 0) {
      if (two !== '*/') continue;
      depth--;
      i++;
      kept += ' ';
    } else if (two === '//') {
      while (i + 1 < text.length && !LINE_BREAK.test(text[i + 1] as string)) i++;
      kept += ' ';
    } else kept += text[i];
  }
  return kept;
}
