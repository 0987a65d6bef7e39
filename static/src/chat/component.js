/**
 * The chat as one part that is put into any element, of a page or of a shadow root: where all of its parts meet.
 * Touches the place it is given, the network through api.js and the client, the storage it is given, the clipboard.
 * Used by page/main.js and widget/panel.js.
 */

import { newSharedSource } from '../client/shared.js';
import { createAnnouncer } from './announce.js';
import { createApi } from './api.js';
import { createChat } from './chat.js';
import { copyText } from './clipboard.js';
import { createComposer } from './composer.js';
import { createDiagnosis } from './diagnose.js';
import { followEnd } from './follow.js';
import { createFrame } from './frame.js';
import { createHint } from './hint.js';
import { createRenderer } from './prose.js';
import { isId, newClientId } from './storage.js';
import { createView } from './view.js';

const COPIED_FOR = 1_500; // ms that a button says so

/**
 *     place       the element that the chat is put into
 *     base        where the server is: '' or '/prefix', or the whole address of one on another site
 *     t           the words, see words.js
 *     storage     see storage.js
 *     isPage      the chat is the page, and not a part of one: it has the landmarks, and Esc stops the answer
 *     title, model, greeting, starters, mark    see frame.js
 *     getToken    see api.js
 *     context     () => what the model is told before all else, '' for nothing
 *     adopt       (styles) => puts a style sheet, given as text, to use
 *     onState     (state) => is told after each change
 *     openSource  newEventSource or the like
 */
export function createComponent({
  place, base, t, storage, isPage = false, title, model = '', greeting = '', starters = [], mark = '',
  getToken = null, context, adopt, onState = () => {}, openSource = newSharedSource,
}) {
  const leaving = new AbortController();
  const { signal } = leaving;
  const frame = createFrame({ t, isPage, title, model, greeting, starters, mark });
  const clientId = knownClient(storage);
  const level = isPage ? 2 : 3; // of the headings of turns
  const follow = followEnd({ scroller: frame.scroller, content: frame.column, button: frame.down });
  const hint = createHint(frame.hint, t);
  const announcer = createAnnouncer(frame.status, t);
  const renderer = createRenderer({
    t, level, copy: (text) => copyText(text, frame.foot),
    onReady(styles) { adopt(styles); view.redraw(); },
  });
  const composer = createComposer({
    frame, storage, onSend: (text, editing) => send(text, editing), onStop: () => chat.stop(), onUp: editLast,
  });
  const chat = createChat({
    api: createApi({ base, clientId, getToken }), stream: { clientId, closeOnDone: false, ...(getToken && { getToken }) },
    storage, openSource, context, diagnose: createDiagnosis({ base, signal }),
    onChange(state) { view.show(state); onState(state); },
    onAccepted: composer.accepted, onTrouble: warn,
  });
  const view = createView({
    elements: frame, t, level, renderer, follow, composer, hint, announcer,
    on: { ...chat, copy, edit, goOn: () => send(t('answer.continue.ask')) },
  });

  /** Said under the box for those who look there, and for those who listen. */
  function warn(key) {
    hint.show(key);
    announcer.say(t(key));
  }

  /** Gives '' or why not, a key of the texts. */
  function send(text, editing = '') {
    const obstacle = editing ? chat.edit(editing, text) : chat.send(text);
    if (obstacle === 'edit.gone') composer.letGo();
    if (obstacle) warn(obstacle);
    else follow.toEnd(); // wherever the reader was: the answer comes there
    return obstacle;
  }

  function edit(generationId) {
    const question = chat.state.turns.find((turn) => turn.kind === 'question' && turn.generationId === generationId);
    if (question) composer.edit(generationId, question.content);
  }

  function editLast() {
    const last = chat.state.turns.findLast((turn) => turn.kind === 'question');
    if (last) edit(last.generationId);
  }

  async function copy(generationId, control) {
    const isDone = await copyText(chat.answer(generationId).content, frame.foot);
    control.textContent = t(isDone ? 'answer.copied' : 'answer.copyFailed');
    setTimeout(() => { control.textContent = t('answer.copy'); }, COPIED_FOR);
  }

  function newChat() {
    chat.newChat();
    composer.focus();
  }

  for (const starter of frame.starters) {
    starter.addEventListener('click', () => {
      send(starter.textContent.trim());
      composer.focus();
    });
  }
  frame.newChat.addEventListener('click', newChat);
  frame.bannerTry.addEventListener('click', chat.reconnect);
  if (isPage) document.addEventListener('keydown', composer.escape, { signal });
  place.append(frame.element);
  if (!storage.isKept) hint.show('ask.forgets');

  return {
    frame,
    start: () => chat.start(),
    send,
    newChat,
    stop: chat.stop,
    reconnect: chat.reconnect,
    focus: composer.focus,
    follow,
    get state() { return chat.state; },

    /** Takes everything away; answers that run go on, and are there when it comes back. */
    destroy() {
      leaving.abort();
      chat.close();
      view.close();
      renderer.close();
      follow.close();
      frame.element.remove();
    },
  };
}

function knownClient(storage) {
  const known = storage.get('client');
  const clientId = isId(known) ? known : newClientId();
  storage.set('client', clientId);
  return clientId;
}
