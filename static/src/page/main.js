/**
 * The one place where the parts of the chat page meet. Nothing is imported by others from here.
 */

import { newEventSource } from '../client/index.js';
import { createAnnouncer } from './announce.js';
import { createApi } from './api.js';
import { createChat } from './chat.js';
import { createComposer } from './composer.js';
import { followEnd } from './follow.js';
import { createWords, pickLanguage } from './i18n.js';
import { createStorage, newClientId } from './storage.js';
import { label } from './text.js';
import { createView } from './view.js';

const COPIED_FOR = 1_500; // ms that a button says so
const HINT_FOR = 4_000;

const find = (id) => document.getElementById(id);
const metaOf = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? '';

function main() {
  const t = createWords(pickLanguage(navigator.languages));
  translate(t);
  const storage = createStorage();
  const clientId = knownClient(storage);
  const api = createApi({ base: metaOf('deltahub-base'), clientId });
  const announcer = createAnnouncer(find('status'), t);
  const follow = followEnd({ scroller: find('scroller'), content: find('column'), button: find('down') });
  const hint = createHint(find('hint'), t);
  const composer = createComposer({
    form: find('ask'), storage,
    onSend: (text) => send(text), onStop: () => chat.stop(),
  });
  const chat = createChat({
    api, clientId, storage, openSource: newEventSource,
    onChange: (state) => view.show(state), onAccepted: composer.accepted, onTrouble: (key) => hint.show(key),
  });
  const view = createView({ elements: pageElements(), t, follow, composer, hint, announcer, on: { ...chat, copy } });

  function send(text) {
    const obstacle = chat.send(text);
    if (obstacle) hint.show(obstacle);
    else follow.toEnd(); // wherever the reader was: the answer comes there
  }

  function copy(generationId, control) {
    navigator.clipboard.writeText(chat.answer(generationId).content).then(() => {
      control.textContent = t('answer.copied');
      setTimeout(() => { control.textContent = t('answer.copy'); }, COPIED_FOR);
    }, () => {});
  }

  for (const starter of document.querySelectorAll('[data-starter]')) {
    starter.addEventListener('click', () => {
      send(starter.textContent.trim());
      composer.focus();
    });
  }
  find('new-chat').addEventListener('click', () => {
    chat.newChat();
    composer.focus();
  });
  find('try').addEventListener('click', chat.reconnect);

  fitKeyboard();
  composer.focus();
  void chat.start();
}

function pageElements() {
  return {
    log: find('log'), notices: find('notices'), empty: find('empty'), loading: find('loading'), lost: find('lost'),
    banner: find('banner'), bannerText: find('banner-text'), bannerTry: find('try'),
  };
}

function knownClient(storage) {
  const clientId = storage.get('client') || newClientId();
  storage.set('client', clientId);
  return clientId;
}

/** Puts the reader's language in. The page is written in English, for those without a script. */
function translate(t) {
  document.documentElement.lang = t.language;
  document.title = t('page.title');
  for (const element of document.querySelectorAll('[data-text]')) element.textContent = t(element.dataset.text);
  for (const element of document.querySelectorAll('[data-label]')) element.ariaLabel = t(element.dataset.label);
  find('message').placeholder = t('ask.placeholder');
  const model = metaOf('deltahub-model');
  find('model').textContent = model;
  find('model-line').textContent = model && t('empty.model', { model });
  find('model-line').hidden = !model;
  document.documentElement.dataset.ready = 'true';
}

/** The line under the box: how it is used, and for a moment why something did not happen. */
function createHint(element, t) {
  let usual = 'ask.hint';
  let timer = 0;

  function rest() {
    label(element, t(usual));
    delete element.dataset.urgent;
    timer = 0;
  }

  return {
    setBusy(isBusy) {
      usual = isBusy ? 'ask.hint.running' : 'ask.hint';
      if (!timer) rest();
    },
    show(key) {
      clearTimeout(timer);
      label(element, t(key));
      element.dataset.urgent = 'true';
      timer = setTimeout(rest, HINT_FOR);
    },
  };
}

/** Where a keyboard on the screen covers the page instead of shrinking it, the page shrinks itself. */
function fitKeyboard() {
  const { visualViewport: seen } = window;
  const fit = () => {
    const isCovered = seen.scale === 1 && window.innerHeight - seen.height > 60;
    document.documentElement.style.setProperty('--height', isCovered ? `${seen.height}px` : '');
  };
  seen?.addEventListener('resize', fit);
}

main();
