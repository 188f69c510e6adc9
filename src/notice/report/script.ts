// What the report does where scripts run; without them all of it can be read, and maps show their values as browsers do.

/**
 * The text of the page's script.
 *
 * @returns JavaScript without any `</script`
 */
export function pageScript(): string {
  return `(${enhance})();`;
}

/** Runs in the page, as text: it must not use anything from outside of itself. */
function enhance(): void {
  showValues();
  for (const table of document.querySelectorAll<HTMLTableElement>('table.sortable')) makeSortable(table);
  letScroll();
  // On paper nothing can be opened.
  addEventListener('beforeprint', () => {
    for (const more of document.querySelectorAll<HTMLDetailsElement>('details.more')) more.open = true;
  });

  /** Cells, bars and points say their values under the pointer, and to the arrow keys. */
  function showValues(): void {
    const tip = document.createElement('output');
    tip.className = 'tip';
    tip.hidden = true;
    document.body.append(tip);
    let shown: Element | undefined;

    const hide = () => {
      shown?.classList.remove('shown');
      shown = undefined;
      tip.hidden = true;
    };
    const show = (mark: Element, text: string) => {
      hide();
      shown = mark;
      mark.classList.add('shown');
      tip.textContent = text;
      tip.hidden = false;
      const { left, top, bottom, width } = mark.getBoundingClientRect();
      const x = Math.min(left + width / 2 - tip.offsetWidth / 2, innerWidth - tip.offsetWidth - 8);
      const above = top - tip.offsetHeight - 6;
      tip.style.left = `${Math.max(8, x)}px`;
      tip.style.top = `${above > 0 ? above : bottom + 6}px`;
    };

    for (const panel of document.querySelectorAll<HTMLElement>('.panel')) {
      const texts = new Map<Element, string>();
      for (const title of panel.querySelectorAll('title')) {
        if (title.parentElement) texts.set(title.parentElement, title.textContent ?? '');
        title.remove(); // or the browser would show it, too
      }
      if (texts.size === 0) continue;
      const marks = [...texts.keys()];
      const showMark = (mark: Element | undefined) => {
        if (mark) show(mark, texts.get(mark) ?? '');
      };
      panel.tabIndex = 0;
      panel.addEventListener('pointerover', ({ target }) => {
        if (texts.has(target as Element)) showMark(target as Element);
      });
      panel.addEventListener('pointerleave', hide);
      panel.addEventListener('focus', () => showMark(marks[0]));
      panel.addEventListener('blur', hide);
      panel.addEventListener('keydown', (event) => {
        if (event.key === 'Escape') hide();
        const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[
          event.key
        ] ?? [0, 0];
        if (!dx && !dy) return;
        event.preventDefault();
        const from = shown && texts.has(shown) ? shown : undefined;
        const next = from ? neighbour(marks, from, dx ?? 0, dy ?? 0) : marks[0];
        next?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
        showMark(next ?? from);
      });
    }
  }

  /** The mark that is closest in a direction. */
  function neighbour(marks: Element[], from: Element, dx: number, dy: number): Element | undefined {
    const centre = (mark: Element) => {
      const { left, top, width, height } = mark.getBoundingClientRect();
      return [left + width / 2, top + height / 2] as const;
    };
    const [x, y] = centre(from);
    let best: Element | undefined;
    let shortest = Number.POSITIVE_INFINITY;
    for (const mark of marks) {
      const [otherX, otherY] = centre(mark);
      const ahead = (otherX - x) * dx + (otherY - y) * dy;
      const aside = Math.abs((otherX - x) * dy) + Math.abs((otherY - y) * dx);
      if (ahead > 1 && ahead + 4 * aside < shortest) {
        shortest = ahead + 4 * aside;
        best = mark;
      }
    }
    return best;
  }

  /** Headers become buttons: numbers by size, the largest first; text by alphabet; what is missing last. */
  function makeSortable(table: HTMLTableElement): void {
    const [body] = table.tBodies;
    const headers = [...(table.tHead?.rows[0]?.cells ?? [])];
    if (!body || body.rows.length < 2) return;
    headers.forEach((header, column) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener('click', () => {
        const rows = [...body.rows];
        const numeric = rows.every((row) => row.cells[column]?.dataset.value !== undefined);
        const before = header.getAttribute('aria-sort') ?? (numeric ? 'ascending' : 'descending');
        const sign = before === 'ascending' ? -1 : 1;
        for (const other of headers) other.removeAttribute('aria-sort');
        header.setAttribute('aria-sort', sign < 0 ? 'descending' : 'ascending');
        const key = (row: HTMLTableRowElement) => {
          const cell = row.cells[column];
          return cell?.dataset.value ?? cell?.textContent ?? '';
        };
        rows.sort((a, b) => {
          const [one, other] = [key(a), key(b)];
          if (one === '' || other === '') return Number(one === '') - Number(other === '');
          return sign * (numeric ? Number(one) - Number(other) : one.localeCompare(other));
        });
        body.append(...rows);
      });
    });
  }

  /** What is wider than the page can be scrolled by keys. */
  function letScroll(): void {
    const boxes = [...document.querySelectorAll<HTMLElement>('.scroll')];
    const update = () => {
      for (const box of boxes) {
        if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
        else box.removeAttribute('tabindex');
      }
    };
    addEventListener('resize', update);
    document.addEventListener('toggle', update, true); // a table that was closed has no width
    update();
  }
}
