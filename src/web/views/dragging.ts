// What is dragged out of a map with the pointer, and onto what.

let shown: HTMLElement | undefined;
let over: Element | undefined;

/** Name (`data-drop`) of the element under the pointer that things can be dropped on. */
export function dropTarget({ clientX, clientY }: PointerEvent): string | undefined {
  const element = document.elementFromPoint(clientX, clientY)?.closest<HTMLElement>('[data-drop]');
  return element?.dataset.drop;
}

/** Shows beside the pointer what is dragged, and marks the element below as one to drop it on; undefined: nothing is. */
export function showDragged({ clientX, clientY }: PointerEvent, what: string | undefined): void {
  over?.removeAttribute('data-dragged-over');
  over = what
    ? (document.elementFromPoint(clientX, clientY)?.closest('[data-drop]') ?? undefined)
    : undefined;
  over?.setAttribute('data-dragged-over', '');
  if (!what) {
    shown?.remove();
    shown = undefined;
    return;
  }
  if (!shown) {
    shown = document.createElement('div');
    shown.className = 'dragged';
    shown.setAttribute('aria-hidden', 'true');
    document.body.append(shown);
  }
  shown.textContent = what;
  shown.style.setProperty('transform', `translate(${clientX + 12}px, ${clientY + 12}px)`);
}
