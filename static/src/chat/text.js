/**
 * Text on the screen: one that grows, and small elements. Text becomes text nodes, never markup.
 * Touches only the elements it is given.
 */

/** Characters after which the next line begins a block of its own, since a block that grows is laid out anew. */
const BLOCK = 4_000;
/** A line that is longer is cut all the same: to lay out 200 KB as one line takes seconds, in pieces a blink. */
const LONGEST = 8_000;

/** A long text added to at its end. All of it is in `element.textContent`, line breaks included. */
export class GrowingText {
  #node = null; // the text node that grows
  #endsLine = false;
  #shown = 0;
  #rewritten = 0;

  constructor(element) {
    this.element = element;
    element.hidden = true;
  }

  /** Shows `text`. `rewritten` counts how often it was replaced; as long as it stays, only the end is new. */
  show(text, rewritten = 0) {
    if (rewritten !== this.#rewritten || text.length < this.#shown) this.#clear();
    if (text.length > this.#shown) this.#add(text.slice(this.#shown));
    this.#shown = text.length;
    this.#rewritten = rewritten;
  }

  #clear() {
    this.element.replaceChildren();
    this.#node = null;
    this.#shown = 0;
    this.element.hidden = true;
  }

  #add(more) {
    for (const line of more.split(/(?<=\n)/).flatMap(inPieces)) {
      // A line break at the end of a block is not seen there, and is copied once: the cut does not show.
      if (!this.#node || (this.#node.length > BLOCK && this.#endsLine) || this.#node.length >= LONGEST) this.#begin();
      this.#node.appendData(line);
      this.#endsLine = line.endsWith('\n');
    }
  }

  #begin() {
    this.#node = document.createTextNode('');
    this.element.append(make('div', {}, this.#node));
    this.element.hidden = false;
  }
}

/** A line in pieces of LONGEST at most, none of which begins in the middle of a character. */
function inPieces(line) {
  if (line.length <= LONGEST) return [line];
  const pieces = [];
  for (let at = 0; at < line.length;) {
    const isWithin = /[\ud800-\udbff]/.test(line[at + LONGEST - 1] ?? '');
    const end = at + LONGEST - (isWithin ? 1 : 0);
    pieces.push(line.slice(at, end));
    at = end;
  }
  return pieces;
}

/** An element with attributes; `text` becomes its content, `on` its listeners, other keys are set as attributes. */
export function make(tag, { text = '', on = {}, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

/** Sets the text of an element only when it is another one: no needless layout, no needless announcement. */
export function label(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
