/**
 * The text of an answer on the screen: Markdown once its module is there, plain text before that and where it never comes.
 * Touches the element it is given. Used by turns.js; the module is loaded by `createRenderer`.
 */

import { GrowingText } from './text.js';

/** One answer's text. `renderer` as below: as soon as it has `create`, what stood there as plain text is drawn by it. */
export class Prose {
  #renderer;
  #plain;
  #drawn = null; // what createMarkdown gave
  #length = 0;
  #rewritten = 0;
  #isOver = false;

  constructor(element, renderer) {
    this.element = element;
    this.#renderer = renderer;
    this.#plain = new GrowingText(element);
  }

  /** Shows `text`. `rewritten` counts how often it was replaced; as long as it stays, only the end is new. */
  show(text, rewritten, isOver) {
    if (!this.#renderer.create) {
      this.#plain.show(text, rewritten);
      return;
    }
    this.element.hidden = !text;
    const isSame = this.#drawn && rewritten === this.#rewritten && text.length >= this.#length;
    if (!isSame || (this.#isOver && text.length > this.#length)) this.#replace(text);
    else if (text.length > this.#length) this.#drawn.append(text.slice(this.#length));
    [this.#length, this.#rewritten] = [text.length, rewritten];
    if (isOver && !this.#isOver) void this.#drawn.end();
    this.#isOver = isOver;
  }

  close() {
    this.#drawn?.close();
  }

  #replace(text) {
    this.#drawn ??= this.#renderer.create(this.element);
    this.#drawn.replace(text);
    this.#isOver = false;
  }
}

/**
 * {create, close}: `create(element)` is null until the Markdown module is there; then `onReady(styles)` is called.
 * Without a build there is none: answers stay plain text.
 */
export function createRenderer({ t, level, copy, onReady, load = () => import('../markdown/index.js') }) {
  const labels = {};
  for (const name of ['code', 'copy', 'copied', 'copyFailed', 'wrap', 'table', 'copyTable', 'imageFailed']) labels[name] = t(`md.${name}`);
  labels.loadImage = t('md.loadImage', { host: '{host}' });
  const options = {
    labels, level, copy,
    highlight: () => import('../markdown/highlight.js'), math: () => import('../markdown/math.js'),
  };
  const renderer = { create: null, isClosed: false, close: () => { renderer.isClosed = true; } };
  renderer.ready = load().then(({ createMarkdown, styles }) => {
    if (renderer.isClosed) return;
    renderer.create = (element) => createMarkdown(element, options);
    onReady(styles);
  }, () => {});
  return renderer;
}
