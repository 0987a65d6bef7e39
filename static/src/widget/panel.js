/**
 * The widget's panel: the chat in a window of another site's page, and the calls by which that page uses it.
 * Loaded by widget.js when it is needed. Touches the element and the shadow root it is given, and what the chat touches.
 */

import css from '../chat/chat.css.js';
import { dress, launcherColors } from './appearance.js';
import { aboutPage, aboutUser, inContext } from './context.js';
import { Mounted } from './mounted.js';
import { readOptions } from './options.js';
import panelCss from './panel.css.js';
import { wordsOf } from './texts.js';
import { tokenOf } from './token.js';
import { createWindow } from './window.js';

/** host: the element; root: its shadow; launcher: its button, null where there is none; tell(news): see widget.js. */
export async function createPanel(place) {
  const panel = new Panel(place);
  await panel.refresh();
  if (!place.host.isConnected) return panel;
  queueMicrotask(() => panel.emit('ready'));
  document.dispatchEvent(new CustomEvent('deltahub:ready', { detail: place.host }));
  return panel;
}

const LOOKS = new Set(['theme', 'color', 'position', 'label']);

/** Its methods, but for `emit`, are the element's: see docs/widget.md. */
class Panel {
  #host;
  #root;
  #tell;
  #isFloating;
  #box;
  #leaving = new AbortController();
  #adopted = new Set(); // style sheets, as text
  #refreshed; // a promise of the last refresh
  #dark = matchMedia('(prefers-color-scheme: dark)');
  #options; // as the page gives them
  #language = ''; // by setLang
  #user = null; // by setUser
  #page = null; // by setContext
  #chat = null; // see mounted.js

  constructor({ host, root, launcher, tell }) {
    const { signal } = this.#leaving;
    [this.#host, this.#root, this.#tell, this.#isFloating] = [host, root, tell, launcher !== null];
    for (const text of [css, panelCss]) this.#adopt(text);
    this.#box = createWindow({ root, launcher, isFloating: this.#isFloating, signal, onClose: () => this.close() });
    this.#dark.addEventListener('change', () => this.#dress(), { signal });
  }

  /** Once each: a chat that is put up anew brings the same styles. */
  #adopt(text) {
    if (this.#adopted.has(text)) return;
    this.#adopted.add(text);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    this.#root.adoptedStyleSheets.push(sheet);
  }

  emit(type, detail = null) {
    this.#host.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** The options have changed. What is only about looks is put on the chat as it stands, which keeps the focus. */
  async refresh() {
    const before = this.#options;
    const complaints = this.#read();
    const isSame = (name) => LOOKS.has(name) || String(before[name]) === String(this.#options[name]);
    if (this.#chat && Object.keys(before).every(isSame)) this.#dress();
    else await this.#renew(complaints);
  }

  /** The options as they are now; gives what is wrong with them. */
  #read() {
    const attributes = Object.fromEntries([...this.#host.attributes].map(({ name, value }) => [name, value]));
    const { options, complaints } = readOptions(attributes);
    this.#options = options;
    for (const complaint of complaints) console.warn(`Deltahub widget: ${complaint}`);
    return complaints;
  }

  /** The chat is put up anew, as it was: in other words, or for somebody else. */
  #renew(complaints = this.#read()) {
    const renewed = this.#putUp(complaints, () => this.#refreshed === renewed);
    this.#refreshed = renewed;
    return renewed;
  }

  /** isLast(): none has begun since, whose words may have come sooner. */
  async #putUp(complaints, isLast) {
    const options = this.#options;
    const tag = this.#language || options.lang || document.documentElement.lang || navigator.language;
    const t = await wordsOf(tag, options.texts);
    if (this.#leaving.signal.aborted) return;
    if (!isLast()) return void await this.#refreshed;
    this.#mount(t);
    if (options.debug) void this.#check(complaints);
    if (this.#box.isOpen || this.#chat.wasStarted) this.#chat.start();
    if (this.#chat.storage.get('open') === 'yes' || this.#opensItself()) this.#show({ takesFocus: false });
  }

  #mount(t) {
    const { name, greeting, starters } = this.#options;
    const user = this.#user; // of this chat, whoever is next
    this.#chat?.destroy();
    this.#chat = new Mounted({
      hub: this.#host.hub, user, box: this.#box, t, tell: this.#tell,
      emit: (type, detail) => this.emit(type, detail), onClose: this.#isFloating ? () => this.close() : null,
      chat: {
        title: name || t('chat.title'), greeting, starters, getToken: this.#getToken, adopt: (text) => this.#adopt(text),
        context: () => inContext(user, this.#page),
      },
    });
    this.#dress();
    this.#tell({ language: t.language });
  }

  get #getToken() { return tokenOf(this.#host, this.#options['get-token']); }

  /** As the page wants it, unless the reader has closed it; on a phone it would cover all that they came for. */
  #opensItself() {
    return this.#options.open && !this.#chat.storage.get('open') && !this.#box.isSmall;
  }

  #dress() {
    const { color } = this.#options;
    dress({ frame: this.#chat.frame.element, box: this.#box.element, options: this.#options, isDark: this.#dark.matches });
    this.#tell({ colors: launcherColors(color) });
  }

  async #check(complaints) {
    const { runChecks } = await import('./selfcheck.js');
    if (this.#leaving.signal.aborted) return;
    const { t, frame } = this.#chat;
    runChecks({ host: this.#host, base: this.#host.hub.slice(0, -1), t, complaints, after: frame.bar, getToken: this.#getToken });
  }

  #show({ takesFocus }) {
    if (this.#isFloating && !this.#box.isOpen) {
      this.#box.show({ takesFocus });
      this.#turned(true);
    }
    this.#chat.start();
    this.#chat.look();
  }

  #turned(isOpen) {
    this.#chat.storage.set('open', isOpen ? 'yes' : 'no', { tabOnly: true });
    this.#tell({ isOpen });
    this.emit(isOpen ? 'open' : 'close');
  }

  async open() {
    if (this.#box.isOpen && this.#isFloating) return;
    this.#show({ takesFocus: true });
    this.#chat.focus();
  }

  async close() {
    if (!this.#isFloating || !this.#box.isOpen) return;
    this.#chat.look();
    this.#box.hide();
    this.#turned(false);
  }

  toggle() {
    return this.#box.isOpen ? this.close() : this.open();
  }

  /** Asks as if the reader had. Rejects with a sentence where that can't be now. */
  async send(text) {
    if (typeof text !== 'string' || !text.trim()) throw new TypeError('send(text): a text that is not empty');
    await this.#refreshed; // or it would be asked as who it was before
    await this.#chat.send(text);
  }

  /** What the model is told of the page, with each question from now on; null for nothing. */
  async setContext(given) {
    this.#page = aboutPage(given);
  }

  /** Whose chat it is: each has one of their own in this browser; null: nobody's. */
  async setUser(given) {
    this.#user = aboutUser(given);
    await this.#renew();
  }

  async setLang(tag) {
    this.#language = String(tag);
    await this.#renew();
  }

  async newThread() {
    await this.#refreshed;
    await this.#chat.newThread();
  }

  destroy() {
    this.#leaving.abort();
    this.#chat?.destroy();
    this.#box.element.remove();
    this.#tell({ isOpen: false, unread: 0 });
  }
}
