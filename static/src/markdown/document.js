/**
 * The blocks of a growing text as elements, in sections: one that is out of sight costs nothing, however long the text.
 * What is settled is never touched again, but once at the end, where a link was defined after it was used.
 * Called by index.js.
 */

import { kindOf, makeBlock } from './blocks.js';
import { make } from './nodes.js';
import { BlockStream } from './stream.js';

const SECTION = 12_000; // characters of Markdown

export class MarkdownDocument {
  #blocks = []; // {block, at, until, links}; `links`: how many definitions were known when it began
  #settled = 0;
  #section = null;
  #sectionFrom = 0;

  /** `root` gets the sections. */
  constructor(root, lexer, context) {
    this.root = root;
    this.lexer = lexer;
    this.context = context;
    this.stream = new BlockStream(lexer);
  }

  feed(text) {
    this.stream.feed(text);
    this.#draw();
  }

  /** No more will come; `text` is all of it. */
  end(text) {
    this.stream.end();
    this.#draw();
    this.#resolveLateLinks(text);
  }

  #draw() {
    const { tokens, settled } = this.stream.read();
    tokens.forEach((token, index) => this.#update(this.#settled + index, token, index >= settled));
    const gone = tokens.length ? this.#blocks.splice(this.#settled + tokens.length) : [];
    for (const { block } of gone) block.element.remove();
    this.#settled += settled;
  }

  #update(index, token, isLive) {
    const entry = this.#blocks[index] ?? { at: token.at, links: this.#linkCount };
    const before = entry.block;
    if (before?.kind !== kindOf(token) && !token.from) entry.block = this.#put(before, token);
    entry.block.update(token, isLive);
    entry.until = token.until;
    this.#blocks[index] = entry;
  }

  get #linkCount() {
    return Object.keys(this.lexer.links).length;
  }

  #put(before, token) {
    const block = makeBlock(token, this.context);
    if (before) before.element.replaceWith(block.element);
    else this.#sectionFor(token).append(block.element);
    return block;
  }

  #sectionFor({ at }) {
    if (!this.#section || at - this.#sectionFrom > SECTION) {
      this.#section = make('div', 'md-section');
      this.#sectionFrom = at;
      this.root.append(this.#section);
    }
    return this.#section;
  }

  /** Draws again the blocks that use a name which was defined after them. */
  #resolveLateLinks(text) {
    const names = Object.keys(this.lexer.links);
    const late = this.#blocks.filter(({ links, at, until }) => (
      links < names.length && uses(text.slice(at, until), names.slice(links))));
    if (!late.length) return;
    this.context.links.version += 1;
    for (const { block, at, until } of late) {
      const token = this.lexer.blocks(text.slice(at, until)).find((found) => kindOf(found) === block.kind);
      if (token) block.update(token, false);
    }
  }
}

function uses(source, names) {
  const known = new Set(names);
  const labels = [...source.matchAll(/\[([^[\]]+)\]/g)].map(([, label]) => label.trim().replace(/\s+/g, ' '));
  return labels.some((label) => known.has(label.toLowerCase()));
}
