/**
 * Markdown, shown while it is written: `createMarkdown(element, options)` gives {append, replace, end, text, close}.
 * Drawn at most once a frame, never for long; text to elements without a string of HTML. The chat loads it lazily.
 *
 *     labels     the words of buttons, see labels.js
 *     highlight  () => promise of the module highlight.js; without it code is not coloured
 *     math       () => promise of the module math.js; without it formulas stay TeX
 *     copy       (text) => promise; the clipboard if not given
 *     level      the level of the heading above the text; `# x` stands one below it
 *     onDraw     is called after each change of the elements
 *     now, frame, idle   the clock, "in the next frame", "when there is time": for tests
 */

import { listen } from './actions.js';
import { MarkdownDocument } from './document.js';
import { formulas } from './formula.js';
import { LABELS } from './labels.js';
import { createLexer } from './lexer.js';
import styles from './markdown.css.js';
import { Pace } from './pace.js';

export { LABELS, styles };

const AT_ONCE = 8; // ms of drawing in one frame; what is left over is drawn in the next
const PIECE = 6_000; // characters between two looks at the clock

export function createMarkdown(element, options = {}) {
  return new Markdown(element, options);
}

class Markdown {
  #options;
  #waiting = ''; // has come, is not drawn
  #drawn = '';
  #carried = ''; // a \r whose \n may follow
  #isEnding = false;
  #isScheduled = false;
  #pace = new Pace();
  #document;
  #ended; // {promise, resolve}
  #root;
  #isFresh; // nothing is on show yet of what was begun
  #isClosed = false;
  #unlisten;

  constructor(element, { labels, now = () => performance.now(), frame = nextFrame, idle = whenIdle, ...options }) {
    this.element = element;
    this.#options = { level: 2, ...options, labels: { ...LABELS, ...labels }, now, frame, idle };
    element.classList.add('md');
    this.#unlisten = listen(element, this.#options.labels, options.copy);
    this.#begin();
  }

  /** All that has come, line ends as \n. */
  get text() {
    return this.#drawn + this.#waiting + (this.#carried && '\n');
  }

  append(text) {
    if (this.#isEnding) throw new Error('The text has ended; replace() begins another');
    this.#take(text);
    this.#schedule();
  }

  /** Shows `text` instead, from now on to be added to; if it only goes on, so does what is shown. */
  replace(text) {
    const plain = text.replace(/\r\n?/g, '\n');
    if (this.#isEnding || !plain.startsWith(this.text)) this.#begin();
    this.#take(plain.slice(this.text.length));
    this.#draw();
  }

  /** No more will come. The promise is fulfilled once all is shown, but for colours, formulas, images. */
  end() {
    if (!this.#isEnding) {
      this.#isEnding = true;
      this.#waiting += this.#carried && '\n';
      this.#carried = '';
      this.#draw();
    }
    return this.#ended.promise;
  }

  /** Draws nothing any more and listens to nobody. */
  close() {
    this.#isClosed = true;
    this.#unlisten();
  }

  #begin() {
    const { labels, highlight, math, idle, level } = this.#options;
    const lexer = createLexer();
    const context = {
      labels, highlight: highlight && once(highlight), idle, level, depth: 0, links: { version: 0 },
      inline: lexer.inline, formula: formulas(math && once(math)),
    };
    this.#root = document.createElement('div');
    this.#document = new MarkdownDocument(this.#root, lexer, context);
    [this.#waiting, this.#drawn, this.#carried] = ['', '', ''];
    [this.#isEnding, this.#isFresh] = [false, true];
    this.#ended = withResolvers();
  }

  #take(text) {
    const whole = this.#carried + text;
    this.#carried = whole.endsWith('\r') ? '\r' : '';
    this.#waiting += whole.slice(0, whole.length - this.#carried.length).replace(/\r\n?/g, '\n');
  }

  #schedule() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#options.frame(() => {
      this.#isScheduled = false;
      if (this.#isClosed || !this.#waiting) return;
      if (this.#pace.isDue(this.#options.now())) this.#draw();
      else this.#schedule();
    });
  }

  #draw() {
    const { now, onDraw } = this.#options;
    const started = now();
    do this.#drawPiece();
    while (this.#waiting && now() - started < AT_ONCE);
    if (this.#isEnding && !this.#waiting) this.#finish();
    if (this.#isFresh) this.#show();
    this.#pace.drawn(started, now());
    onDraw?.();
    if (this.#waiting) this.#schedule();
  }

  #drawPiece() {
    let length = Math.min(PIECE, this.#waiting.length);
    if (length < this.#waiting.length && /[\ud800-\udbff]/.test(this.#waiting[length - 1])) length += 1;
    const piece = this.#waiting.slice(0, length);
    this.#waiting = this.#waiting.slice(length);
    this.#drawn += piece;
    if (piece) this.#document.feed(piece);
  }

  #finish() {
    this.#document.end(this.#drawn);
    this.#ended.resolve();
  }

  /** What stood there goes only when there is something in its place: it never blinks. */
  #show() {
    this.#isFresh = false;
    this.element.replaceChildren(this.#root);
  }
}

/** A module is asked for once; if that fails, the next one who needs it asks again. */
function once(load) {
  let loading = null;
  return () => {
    loading ??= Promise.resolve().then(load).catch((error) => {
      loading = null;
      throw error;
    });
    return loading;
  };
}

/** In the next frame; a page behind others gets no frames, and is drawn a few times a second. */
function nextFrame(draw) {
  let isDone = false;
  const run = () => {
    if (!isDone) draw();
    isDone = true;
    cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
  const frame = requestAnimationFrame(run);
  const timer = setTimeout(run, 250);
}

const whenIdle = () => new Promise((resolve) => {
  if (globalThis.requestIdleCallback) requestIdleCallback(() => resolve(), { timeout: 500 });
  else setTimeout(resolve, 20);
});

function withResolvers() {
  const result = {};
  result.promise = new Promise((resolve, reject) => Object.assign(result, { resolve, reject }));
  return result;
}
