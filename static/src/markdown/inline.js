/**
 * Running text as nodes: spans are compared with those shown, and only what differs is touched. Of a long text the
 * beginning is settled, so that adding a word does not cost more the longer it is. Called by whatever holds text.
 */

import { imageChip } from './images.js';
import { linkTo } from './links.js';
import { mend } from './mend.js';
import { make, setText } from './nodes.js';

const WORTH_SETTLING = 400; // characters
const LONGEST = 8_192; // beyond it is settled between any two words, or without

const DRAWN = {
  text: { make: ({ text }) => document.createTextNode(text), update: (node, { text }) => setText(node, text) },
  code: { make: ({ text }) => make('code', '', text), update: (node, { text }) => setText(node.firstChild, text) },
  break: { make: () => make('br'), update: () => {} },
  strong: holder('strong'),
  em: holder('em'),
  del: holder('del'),
  link: { make: makeLink, update: updateLink },
  image: { make: (span, context) => imageChip(span, context) },
  formula: { make: (span, context) => context.formula(span) },
};

export class Inline {
  #shown = []; // the spans after what is settled, each with its `node`
  #settled = ''; // Markdown that is read and drawn for good
  #settledNodes = 0;
  #text = null;
  #isLive = false;
  #version = 0;

  constructor(element, context) {
    this.element = element;
    this.context = context;
  }

  /** Shows `text`. `isLive`: its end is still to come. */
  update(text, isLive = false) {
    const { version } = this.context.links;
    if (text === this.#text && isLive === this.#isLive && version === this.#version) return;
    if (version !== this.#version || !text.startsWith(this.#settled)) this.#restart();
    this.#text = text;
    this.#isLive = isLive;
    this.#version = version;
    this.#draw(text.slice(this.#settled.length), isLive);
  }

  #restart() {
    this.#settled = '';
    this.#settledNodes = 0;
    this.#shown = [];
    this.element.replaceChildren();
  }

  #draw(rest, isLive) {
    const { text, open, safe } = isLive ? mend(rest) : { text: rest, safe: 0 };
    const cut = rest.length > LONGEST ? Math.max(safe, anyCut(rest)) : safe;
    if (cut >= WORTH_SETTLING) {
      this.#settle(rest.slice(0, cut));
      this.#draw(rest.slice(cut), isLive);
      return;
    }
    const spans = this.context.inline(text);
    if (open) spans.push({ kind: 'formula', ...open, isOpen: true });
    this.#show(spans);
  }

  #settle(source) {
    this.#show(this.context.inline(source));
    this.#settled += source;
    this.#settledNodes = this.element.childNodes.length;
    this.#shown = [];
  }

  #show(spans) {
    this.#shown = reconcile(this.element, this.#settledNodes, this.#shown, spans, this.context);
  }
}

function anyCut(text) {
  const space = text.lastIndexOf(' ', LONGEST) + 1;
  const gap = space < WORTH_SETTLING ? LONGEST : space;
  return /[\ud800-\udbff]/.test(text[gap - 1]) ? gap - 1 : gap;
}

/** Makes the children of `parent` from `from` on show `spans` instead of `old`; gives the spans with their nodes. */
function reconcile(parent, from, old, spans, context) {
  spans.forEach((span, index) => {
    const before = old[index];
    if (before?.kind === span.kind && updated(before, span, context)) return;
    span.node = DRAWN[span.kind].make(span, context);
    if (before) before.node.replaceWith(span.node);
    else parent.append(span.node);
  });
  for (const { node } of old.slice(spans.length)) node.remove();
  return spans;
}

/** Makes the node of `before` show `span`, if that can be. */
function updated(before, span, context) {
  const { update } = DRAWN[span.kind];
  const isSame = before.raw === span.raw && before.isOpen === span.isOpen;
  if (!isSame && !update) return false;
  span.node = before.node;
  if (isSame) span.children = before.children;
  return isSame || update(before.node, span, before, context) !== false;
}

function holder(tag) {
  return {
    make: (span, context) => withChildren(make(tag), span, context),
    update: updateChildren,
  };
}

function withChildren(element, span, context) {
  span.children = reconcile(element, 0, [], span.children, context);
  return element;
}

function updateChildren(element, span, before, context) {
  span.children = reconcile(element, 0, before.children, span.children, context);
}

/** A link holds no button: of an image in it there are the words. */
const inLink = (context) => ({ ...context, imageWords: true });

function makeLink(span, context) {
  const link = linkTo(span.href);
  const element = make(link ? 'a' : 'span', link ? '' : 'md-refused');
  setAddress(element, link, span);
  return withChildren(element, span, inLink(context));
}

function updateLink(element, span, before, context) {
  const link = linkTo(span.href);
  if (Boolean(link) !== Boolean(linkTo(before.href))) return false;
  setAddress(element, link, span);
  updateChildren(element, span, before, inLink(context));
  return true;
}

/** Where it leads is told before anybody follows, whatever the words of the link say. */
function setAddress(element, link, { href, title }) {
  element.title = title ? `${title} (${link?.href ?? href})` : link?.href ?? href;
  if (!link) return;
  element.href = link.href;
  element.target = '_blank';
  element.rel = 'noopener noreferrer nofollow';
}
