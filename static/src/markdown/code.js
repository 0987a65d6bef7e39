/**
 * A code block: its language, buttons to copy and to wrap, and its lines, an element each, to which lines are added.
 * Once it is complete it is coloured, piece by piece in idle time. Called by blocks.js.
 */

import { button, make, setText } from './nodes.js';

const LINES = 200; // of a group, which is not laid out while it is out of sight
const LONGEST_COLOURED = 200_000; // characters
const PIECE = 1_200; // characters coloured at once: it must not be felt

export class CodeBlock {
  #text = '';
  #lines = [];
  #isOver = false;

  constructor({ lang }, context) {
    this.context = context;
    this.language = languageOf(lang);
    const { labels } = context;
    const wrap = button('wrap', 'md-button', labels.wrap);
    wrap.setAttribute('aria-pressed', 'false');
    const copy = button('copy', 'md-button', labels.copy);
    const bar = make('div', 'md-bar', make('span', 'md-language', this.language), wrap, copy);
    this.code = make('code');
    const box = make('pre', 'md-scroll', this.code);
    box.tabIndex = 0;
    box.setAttribute('role', 'group');
    box.setAttribute('aria-label', [labels.code, this.language].filter(Boolean).join(': '));
    this.element = make('div', 'md-code', bar, box);
    this.element.dir = 'ltr';
  }

  /** `more` is text to add; without it `text` is all of it. */
  update({ text, more, isClosed }, isLive) {
    if (more !== undefined) this.#add(more);
    else this.#show(isLive || !text || text.endsWith('\n') ? text : `${text}\n`);
    if (!isLive || isClosed) this.#finish();
  }

  #show(text) {
    if (!text.startsWith(this.#text)) {
      this.#text = '';
      this.#lines = [];
      this.code.replaceChildren();
    }
    this.#add(text.slice(this.#text.length));
  }

  #add(text) {
    if (!text) return;
    this.#isOver = false;
    let at = 0;
    if (this.#text && !this.#text.endsWith('\n')) at = this.#continueLine(text);
    this.#text += text;
    while (at < text.length) {
      const end = text.indexOf('\n', at) + 1 || text.length;
      this.#addLine(text.slice(at, end));
      at = end;
    }
  }

  #continueLine(text) {
    const end = text.indexOf('\n') + 1 || text.length;
    const { lastChild } = this.#lines.at(-1);
    if (lastChild.nodeType === Node.TEXT_NODE) setText(lastChild, lastChild.data + text.slice(0, end));
    else this.#lines.at(-1).append(text.slice(0, end));
    return end;
  }

  #addLine(line) {
    const element = make('span', 'md-line', line);
    if (this.#lines.length % LINES === 0) this.code.append(make('span', 'md-lines'));
    this.#lines.push(element);
    this.code.lastChild.append(element);
  }

  #finish() {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.context.highlight && this.language && this.#text.length <= LONGEST_COLOURED) this.#colour();
  }

  async #colour() {
    const text = this.#text;
    const highlight = await this.context.highlight().catch(() => null);
    if (!highlight?.knows(this.language)) return;
    await this.context.idle();
    highlight.colour('', this.language); // puts the rules of the language together, which takes as long as a piece
    for (const [from, to] of piecesOf(this.#lines)) {
      await this.context.idle();
      if (text !== this.#text) return; // more has come after all
      const lines = this.#lines.slice(from, to);
      const coloured = highlight.colour(lines.map((line) => line.textContent).join(''), this.language);
      lines.forEach((line, index) => paint(line, coloured[index] ?? []));
    }
  }
}

function paint(line, parts) {
  // A reader who has marked something in it keeps it, in black and white.
  const selection = line.getRootNode().getSelection?.() ?? document.getSelection();
  if (selection && !selection.isCollapsed && selection.containsNode?.(line, true)) return;
  line.replaceChildren(...parts.map(({ text, kind }) => (kind ? make('span', kind, text) : text)));
}

/** Lines in pieces, cut before one at the left edge after a blank one: there mostly begins something new. */
function* piecesOf(lines) {
  let from = 0;
  let length = 0;
  for (let at = 0; at < lines.length; at += 1) {
    const isCut = /^\S/.test(lines[at].textContent) && at > 0 && !lines[at - 1].textContent.trim();
    if (length > PIECE && (isCut || length > 2 * PIECE)) {
      yield [from, at];
      [from, length] = [at, 0];
    }
    length += lines[at].textContent.length;
  }
  yield [from, lines.length];
}

const languageOf = (info = '') => /^[\w+#.-]{1,30}/.exec(info.trim())?.[0] ?? '';
