/**
 * The chat in the panel as it stands for one user in one language, and what the page is told of it. Made anew whenever
 * one of these changes. Touches the window it is put into, the user's storage, and what the chat touches. Used by panel.js.
 */

import { createComponent } from '../chat/component.js';
import { icon } from '../chat/icons.js';
import { emptyState } from '../chat/state.js';
import { createStorage } from '../chat/storage.js';
import { differences } from '../chat/tell.js';
import { make } from '../chat/text.js';
import { seen, unread } from '../chat/unread.js';

const UNSURE = new Set(['waiting', 'closed']); // states of the link in which nothing is known to come

export class Mounted {
  #box;
  #tell;
  #emit;
  #component;
  #state = emptyState();
  #mark; // what was seen
  #settled; // a promise: the conversation is there
  #settle;
  #isOver = false;

  /**
   * hub: its address; user: {id} or null; box: see window.js; t: the words; tell(news): see widget.js; emit(type, detail):
   * an event for the page; onClose(): the reader wants it closed, null where it can't be; `chat`: the rest of what the component needs.
   */
  constructor({ hub, user, box, t, tell, emit, onClose, chat }) {
    Object.assign(this, { t, isStarted: false });
    [this.#box, this.#tell, this.#emit] = [box, tell, emit];
    this.storage = createStorage({ prefix: `deltahub@${hub}${user?.id ? `${user.id}@` : ''}` });
    this.#mark = this.storage.getJSON('seen');
    this.#settled = new Promise((resolve) => { this.#settle = resolve; });
    this.#component = createComponent({
      ...chat, place: box.element, base: hub.slice(0, -1), t, storage: this.storage, onState: (state) => this.#changed(state),
    });
    this.frame = this.#component.frame;
    if (onClose) this.frame.bar.append(closeButton(t, onClose));
  }

  get wasStarted() { return Boolean(this.storage.get('started')); }

  start() {
    if (this.isStarted) return;
    this.isStarted = true;
    this.storage.set('started', 'yes');
    void this.#component.start();
  }

  #changed(next) {
    const before = this.#state;
    this.#state = next;
    for (const [type, detail] of differences(before, next)) this.#emit(type, detail);
    if (!next.loading || UNSURE.has(next.link.state)) this.#settle();
    this.look();
  }

  /** What is in sight has been seen; what is not is counted. */
  look() {
    if (this.#state.loading) return;
    if (this.#box.isOpen || !this.#mark) {
      this.#mark = seen(this.#state);
      this.storage.setJSON('seen', this.#mark);
    }
    this.#tell({ unread: unread(this.#state, this.#mark) });
  }

  /** Once the conversation is there. Throws a sentence where the question can't be put now. */
  async send(text) {
    await this.#ready();
    const obstacle = this.#component.send(text);
    if (obstacle) throw new Error(this.t(obstacle));
  }

  async newThread() {
    await this.#ready();
    this.#component.newChat();
  }

  /** The conversation is there, or it is known that it can't be had now. */
  async #ready() {
    this.start();
    await this.#settled;
    if (this.#isOver) throw new Error('This chat was taken off the page, or put up anew for somebody else');
  }

  focus() { this.#component.focus(); }

  destroy() {
    this.#isOver = true;
    this.#settle();
    this.#component.destroy();
  }
}

function closeButton(t, click) {
  return make('button', { class: 'button close', type: 'button', 'aria-label': t('chat.close'), on: { click } }, icon('close'));
}
