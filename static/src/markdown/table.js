/** A table in a box that scrolls, with a button to copy it as CSV; rows are added to it. Called by blocks.js. */

import { Inline } from './inline.js';
import { button, make } from './nodes.js';

/** Rows after which the columns keep their widths: a browser lays out a table as a whole, with each cell that grows. */
const MANY = 40;
const ROLES = { table: 'table', thead: 'rowgroup', tbody: 'rowgroup', tr: 'row', th: 'columnheader', td: 'cell' };

export class TableBlock {
  #head;
  #rows = [];
  #isFrozen = false;

  constructor({ header }, context) {
    this.context = context;
    const { labels } = context;
    this.headRow = make('tr');
    this.#head = header.map((cell) => this.#cell(this.headRow, 'th', cell));
    for (const { element } of this.#head) element.scope = 'col';
    this.body = make('tbody');
    this.table = make('table', '', make('thead', '', this.headRow), this.body);
    const box = make('div', 'md-scroll', this.table);
    box.tabIndex = 0;
    box.setAttribute('role', 'group');
    box.setAttribute('aria-label', labels.table);
    this.element = make('div', 'md-table', box, make('div', 'md-bar', button('csv', 'md-button', labels.copyTable)));
  }

  /** `rows` are those from index `from` on. */
  update({ header, rows, from = 0 }, isLive) {
    header?.forEach(({ text }, index) => this.#head[index]?.update(text));
    rows.forEach((cells, index) => this.#updateRow(from + index, cells, isLive && index === rows.length - 1));
    for (const { element } of this.#rows.splice(from + rows.length)) element.remove();
    if (!this.#isFrozen && this.#rows.length > MANY) this.#freeze();
  }

  #updateRow(index, cells, isLive) {
    const row = this.#rows[index] ?? this.#addRow(index, cells);
    const last = cells.findLastIndex(({ text }) => text);
    cells.forEach(({ text }, column) => row.cells[column]?.update(text, isLive && column === last));
  }

  #addRow(index, cells) {
    const element = make('tr');
    this.#rows[index] = { element, cells: cells.map((cell) => this.#cell(element, 'td', cell)) };
    if (this.#isFrozen) giveRoles(element);
    this.body.append(element);
    return this.#rows[index];
  }

  #cell(row, tag, { align }) {
    const element = make(tag, align ? `md-${align}` : '');
    element.dir = 'auto';
    row.append(element);
    return new Inline(element, this.context);
  }

  /** From now on each row is laid out by itself, in columns as wide as they are; rows out of sight are not. */
  #freeze() {
    const widths = [...this.headRow.cells].map((cell) => Math.round(cell.getBoundingClientRect().width));
    if (widths.includes(0)) return; // not on show: there is nothing to measure
    this.#isFrozen = true;
    this.table.style.setProperty('--md-columns', widths.map((width) => `minmax(${width}px, ${width}fr)`).join(' '));
    this.table.classList.add('md-many');
    giveRoles(this.table);
  }
}

/** What is laid out in another way than a table is no table to some browsers' assistive technology, unless told so. */
function giveRoles(element) {
  for (const each of [element, ...element.querySelectorAll('thead, tbody, tr, th, td')]) {
    each.setAttribute('role', ROLES[each.localName]);
  }
}
