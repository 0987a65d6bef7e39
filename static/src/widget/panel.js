/**
 * The widget's panel: the chat in a window of another site's page, and the calls by which that page uses it.
 * Loaded by widget.js when it is needed. Touches the element and the shadow root it is given, and what the chat touches.
 */

import css from '../chat/chat.css.js';
import { createComponent } from '../chat/component.js';
import { icon } from '../chat/icons.js';
import { contrast, shades } from '../chat/shade.js';
import { emptyState } from '../chat/state.js';
import { createStorage } from '../chat/storage.js';
import { differences } from '../chat/tell.js';
import { make } from '../chat/text.js';
import { seen, unread } from '../chat/unread.js';
import { loadWords } from '../chat/words.js';
import { aboutPage, aboutUser, inContext } from './context.js';
import { readOptions } from './options.js';
import panelCss from './panel.css.js';
import { tokenOf } from './token.js';
import { createWindow } from './window.js';

const GROUNDS = { light: [233, 241, 239], dark: [32, 48, 47] }; // --tint of chat.css, the worst ground for an accent

/** host: the element; root: its shadow; launcher: its button, null where there is none; tell(news): see widget.js. */
export async function createPanel({ host, root, launcher, tell }) {
  const leaving = new AbortController();
  const { signal } = leaving;
  const base = host.hub.slice(0, -1);
  const isFloating = launcher !== null;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  let options; // as the page gives them
  let language = ''; // by setLang
  let user = null; // by setUser
  let page = null; // by setContext
  let storage;
  let component;
  let state = emptyState();
  let mark = null; // what was seen
  let settled; // {promise, resolve}: the conversation is there

  for (const text of [css, panelCss]) adopt(text);
  const box = createWindow({ root, launcher, isFloating, signal, onClose: () => api.close() });
  dark.addEventListener('change', dress, { signal });

  function adopt(text) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    root.adoptedStyleSheets.push(sheet);
  }

  const emit = (type, detail = null) => host.dispatchEvent(new CustomEvent(type, { detail }));

  /** The options have changed, or who it is for: the chat is put up anew, as it was. */
  async function refresh() {
    const attributes = Object.fromEntries([...host.attributes].map(({ name, value }) => [name, value]));
    const read = readOptions(attributes);
    options = read.options;
    for (const complaint of read.complaints) console.warn(`Deltahub widget: ${complaint}`);
    const t = await wordsOf(language || options.lang || document.documentElement.lang || navigator.language);
    if (signal.aborted) return;
    component?.destroy();
    put(t);
    dress();
    if (options.debug) void check(read.complaints);
    if (box.isOpen || storage.get('started')) start();
    if (storage.get('open') === 'yes' || opensItself()) show();
  }

  /** As the page wants it, unless the reader has closed it; on a phone it would cover all that they came for. */
  const opensItself = () => options.open && !storage.get('open') && !box.isSmall;

  async function wordsOf(tag) {
    if (!options.texts) return loadWords(tag);
    try {
      const response = await fetch(new URL(options.texts, document.baseURI), { signal: AbortSignal.timeout(10_000) });
      if (!response.ok) throw new Error(`status ${response.status}`);
      return await loadWords(tag, await response.json());
    } catch (error) {
      console.warn(`Deltahub widget: the texts ${options.texts} could not be loaded (${error.message}), so these are built in.`);
      return loadWords(tag);
    }
  }

  function put(t) {
    storage = createStorage({ prefix: `deltahub@${host.hub}${user?.id ? `${user.id}@` : ''}` });
    mark = storage.getJSON('seen');
    state = emptyState();
    settled = Promise.withResolvers?.() ?? withResolvers();
    component = createComponent({
      place: box.element, base, t, storage, adopt,
      title: options.name || t('chat.title'), greeting: options.greeting, starters: options.starters,
      getToken: tokenOf(host, options['get-token']), context: () => inContext(user, page), onState: changed,
    });
    component.t = t;
    if (isFloating) component.frame.bar.append(closeButton(t));
  }

  function closeButton(t) {
    const button = make('button', { class: 'button close', type: 'button', 'aria-label': t('chat.close') }, icon('close'));
    button.addEventListener('click', () => api.close());
    return button;
  }

  function start() {
    if (component.isStarted) return;
    component.isStarted = true;
    storage.set('started', 'yes');
    void component.start();
  }

  function changed(next) {
    const before = state;
    state = next;
    for (const [type, detail] of differences(before, next)) emit(type, detail);
    if (!next.loading) settled.resolve();
    look();
  }

  /** What is in sight has been seen; what is not is counted. */
  function look() {
    if (state.loading) return;
    if (box.isOpen || !mark) {
      mark = seen(state);
      storage.setJSON('seen', mark);
    }
    tell({ unread: unread(state, mark) });
  }

  function show() {
    if (isFloating && !box.isOpen) {
      box.show();
      storage.set('open', 'yes', { tabOnly: true });
      tell({ isOpen: true });
      emit('open');
    }
    start();
    look();
  }

  /** Colours and side. */
  function dress() {
    const theme = options.theme === 'auto' ? (dark.matches ? 'dark' : 'light') : options.theme;
    const { element } = component.frame;
    element.dataset.theme = theme;
    box.element.classList.toggle('left', options.position === 'left');
    const own = options.color ? shades(options.color, GROUNDS[theme]) : {};
    for (const [name, value] of Object.entries(own)) element.style.setProperty(name, value);
    if (options.color) tell({ colors: launcherColors(options.color) });
  }

  async function check(complaints) {
    const { runChecks } = await import('./selfcheck.js');
    if (!signal.aborted) runChecks({ host, base, t: component.t, complaints, after: component.frame.bar, getToken: tokenOf(host, options['get-token']) });
  }

  const api = {
    async open() {
      if (box.isOpen && isFloating) return;
      show();
      component.focus();
    },

    async close() {
      if (!isFloating || !box.isOpen) return;
      look();
      box.hide();
      storage.set('open', 'no', { tabOnly: true });
      tell({ isOpen: false });
      emit('close');
    },

    toggle: () => (box.isOpen ? api.close() : api.open()),

    /** Asks as if the reader had. Rejects with a sentence where that can't be now. */
    async send(text) {
      if (typeof text !== 'string' || !text.trim()) throw new TypeError('send(text): a text that is not empty');
      start();
      await settled.promise;
      const obstacle = component.send(text);
      if (obstacle) throw new Error(component.t(obstacle));
    },

    /** What the model is told of the page, with each question from now on; null for nothing. */
    async setContext(given) { page = aboutPage(given); },

    /** Whose chat it is: each has one of their own in this browser; null: nobody's. */
    async setUser(given) {
      user = aboutUser(given);
      await refresh();
    },

    async setLang(tag) {
      language = String(tag);
      await refresh();
    },

    async newThread() {
      start();
      await settled.promise;
      component.newChat();
    },

    refresh,

    destroy() {
      leaving.abort();
      component.destroy();
      box.element.remove();
      tell({ isOpen: false, unread: 0 });
    },
  };

  await refresh();
  queueMicrotask(() => emit('ready'));
  document.dispatchEvent(new CustomEvent('deltahub:ready', { detail: host }));
  return api;
}

/** The button has a ground of its own, so what was chosen stays; only its drawing must be seen on it. */
function launcherColors(color) {
  const isLight = contrast(color, [0, 0, 0]) > contrast(color, [255, 255, 255]);
  return { '--own': `rgb(${color.join(' ')})`, '--on-own': isLight ? '#000000' : '#ffffff' };
}

function withResolvers() {
  const result = {};
  result.promise = new Promise((resolve) => { result.resolve = resolve; });
  return result;
}
