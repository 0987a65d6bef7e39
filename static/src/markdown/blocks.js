/**
 * Blocks as elements. Each block is {element, update(token, isLive)}: it is given its token again and again as it
 * grows, and touches what differs. `isLive`: its end is still to come. Called by document.js, and by itself for what
 * is nested.
 */

import { CodeBlock } from './code.js';
import { Inline } from './inline.js';
import { make } from './nodes.js';
import { TableBlock } from './table.js';

const DEEPEST = 24; // quotes and lists within each other; what is deeper is shown as it was written
const GAPS = new Set(['space', 'def', 'checkbox']);

const KINDS = {
  paragraph: (token, context) => textBlock('p', context),
  text: (token, context) => textBlock('p', context),
  heading: (token, context) => headingBlock(token, context),
  plain: (token, context) => plainBlock(context),
  hr: () => ({ element: make('hr'), update() {} }),
  code: (token, context) => new CodeBlock(token, context),
  table: (token, context) => new TableBlock(token, context),
  blockquote: (token, context) => new QuoteBlock(context),
  list: (token, context) => new ListBlock(token, context),
  formula: (token, context) => new FormulaBlock(context),
};

/** What decides whether a block can go on as it is, or another has to take its place. */
export function kindOf({ type, depth, ordered, lang, header }) {
  if (type === 'text') return 'paragraph';
  if (type === 'code') return `code ${lang ?? ''}`;
  return [type, depth ?? '', ordered ?? '', header?.length ?? ''].join(' ');
}

/** `context.depth` counts what it is nested in. */
export function makeBlock(token, context) {
  const kind = context.depth > DEEPEST ? 'plain' : token.type;
  const block = (KINDS[kind] ?? KINDS.plain)(token, context);
  block.kind = kindOf(token);
  return block;
}

/** The blocks within an element: of a quote, of an item of a list. */
class Blocks {
  #shown = [];

  constructor(element, context) {
    this.element = element;
    this.context = { ...context, depth: context.depth + 1 };
  }

  update(tokens, isLive) {
    const blocks = tokens.filter(({ type }) => !GAPS.has(type));
    blocks.forEach((token, index) => this.#updateAt(index, token, isLive && index === blocks.length - 1));
    for (const { element } of this.#shown.splice(blocks.length)) element.remove();
  }

  #updateAt(index, token, isLive) {
    const before = this.#shown[index];
    const { version } = this.context.links;
    if (before?.kind !== kindOf(token)) this.#shown[index] = this.#put(before, makeBlock(token, this.context));
    else if (before.raw === token.raw && !before.isLive && !isLive && before.version === version) return;
    const block = this.#shown[index];
    block.update(token, isLive);
    Object.assign(block, { raw: token.raw, isLive, version });
  }

  #put(before, block) {
    if (before) before.element.replaceWith(block.element);
    else this.element.append(block.element);
    return block;
  }
}

class QuoteBlock {
  constructor(context) {
    this.element = make('blockquote');
    this.element.dir = 'auto';
    this.blocks = new Blocks(this.element, context);
  }

  update({ tokens }, isLive) {
    this.blocks.update(tokens, isLive);
  }
}

class ListBlock {
  #items = [];

  constructor({ ordered, start }, context) {
    this.context = context;
    this.element = make(ordered ? 'ol' : 'ul');
    if (ordered && start !== 1) this.element.start = start;
    this.element.dir = 'auto';
  }

  /** `items` are those from index `from` on. */
  update({ items, from = 0, loose }, isLive) {
    this.element.classList.toggle('md-loose', loose);
    items.forEach((token, index) => this.#updateItem(from + index, token, isLive && index === items.length - 1));
    for (const { element } of this.#items.splice(from + items.length)) element.remove();
  }

  #updateItem(index, token, isLive) {
    const item = this.#items[index] ?? this.#addItem(index);
    const { version } = this.context.links;
    if (item.raw === token.raw && !item.isLive && !isLive && item.version === version) return;
    setBox(item, token.task ? token.checked : undefined);
    item.blocks.update(token.tokens.map(withoutBox), isLive);
    Object.assign(item, { raw: token.raw, isLive, version });
  }

  #addItem(index) {
    const element = make('li');
    const body = make('div', 'md-item');
    element.append(body);
    this.element.append(element);
    this.#items[index] = { element, blocks: new Blocks(body, this.context) };
    return this.#items[index];
  }
}

/** The box of a task as a character, which is read out by its name in every language. */
function setBox(item, isChecked) {
  if (item.isChecked === isChecked) return;
  item.isChecked = isChecked;
  item.box?.remove();
  item.box = isChecked === undefined ? null : make('span', 'md-box', isChecked ? '☑ ' : '☐ ');
  item.element.classList.toggle('md-task', Boolean(item.box));
  if (item.box) item.element.prepend(item.box);
}

/** Marked leaves the box in the text of loose lists. */
function withoutBox(token) {
  if (token.tokens?.[0]?.type !== 'checkbox') return token;
  return { ...token, text: token.text.replace(/^\[[ xX]\][ \t]+/, '') };
}

function textBlock(tag, context) {
  const element = make(tag);
  element.dir = 'auto';
  const inline = new Inline(element, context);
  return { element, update: ({ text }, isLive) => inline.update(text, isLive) };
}

/** The headings of an answer stand below those of the page it is in. */
function headingBlock({ depth }, context) {
  const level = Math.min(6, depth + context.level);
  const block = textBlock(`h${level}`, context);
  block.element.className = `md-h${depth}`;
  return block;
}

function plainBlock() {
  const element = make('p', 'md-plain');
  element.dir = 'auto';
  return { element, update({ raw }) { element.textContent = raw; } };
}

class FormulaBlock {
  #tex = null;

  constructor(context) {
    this.context = context;
    this.element = make('div', 'md-formula');
  }

  update({ tex, raw, isOpen }, isLive) {
    const isPlain = isOpen && !isLive; // it never ended: then it was none
    const key = `${isPlain} ${isOpen} ${tex}`;
    if (key === this.#tex) return;
    this.#tex = key;
    this.element.replaceChildren(isPlain ? raw : this.context.formula({ tex, isOpen, isBlock: true }));
  }
}
