/**
 * What the reader can do: ask, ask again, stop, begin anew. Nothing typed is lost, and no question is put twice.
 * Touches no DOM; the network, the storage and the clock are handed in. Used by component.js.
 */

import * as actions from './actions.js';
import { isLine, keptLines } from './lines.js';
import { findAnswer, runningAnswers } from './state.js';
import { isId, newUUID } from './storage.js';
import { createStore } from './store.js';
import { createSync, onlyFailedCalls, orMissing } from './sync.js';

/**
 * openSource(options): newEventSource or the like, given `stream` among others. onChange(state) after every change; onAccepted(text) when a
 * question has reached the server; onTrouble(key) for what has no place in the state, a key of the texts. diagnose():
 * why there is no answer, see sync.js. context(): what the model is told before all else, '' for nothing.
 */
export function createChat({
  api, stream, storage, openSource, onChange, onAccepted, onTrouble, diagnose = async () => '', context = () => '',
  now = Date.now,
}) {
  const store = createStore({ onChange: changed, now });
  const sync = createSync({
    store, api, stream, storage, openSource, findUnsent, onGone: () => onTrouble('chat.gone'), diagnose,
  });
  const { act } = store;
  const bodies = new Map(); // generationId → the body of its POST: sent again it has to be the same
  const stops = new Set(); // generationIds to stop as soon as the server knows them
  let noted = null; // the `startedAt` that was stored last
  let lines = null; // the keys of those that were
  let isClosed = false;

  function changed(state) {
    if (isClosed) return;
    for (const id of bodies.keys()) noteArrival(id);
    const isNews = !state.loading && storage.get('conversation') !== state.conversationId;
    if (isNews) storage.set('conversation', state.conversationId);
    noteStart(state);
    if (!state.loading) noteLines(state);
    onChange(state);
    void sync.attend();
  }

  /** So that a page that is reloaded goes on counting where this one was, the wait in line left out. */
  function noteStart(state) {
    const { generationId, startedAt } = runningAnswers(state).at(-1) ?? {};
    if (!startedAt || startedAt === noted) return;
    noted = startedAt;
    const isLast = Object.hasOwn(storage.getJSON('since') ?? {}, generationId);
    if (isLast) storage.setJSON('since', { [generationId]: startedAt });
  }

  function noteLines({ turns }) {
    const keys = turns.filter(isLine).map(({ key }) => key).join();
    if (keys === lines) return;
    lines = keys;
    storage.setJSON('lines', keptLines(turns));
  }

  /** The page was left between a POST and its reply. Gives the conversation if it arrived, else shows it unsent. */
  async function findUnsent() {
    const { generationId, content, body } = storage.getJSON('unsent') ?? {};
    const isFit = isId(generationId) && typeof content === 'string' && Object(body) === body;
    if (!isFit || store.state.turns.length) return '';
    const answer = await orMissing(api.answer(generationId));
    if (!answer) {
      bodies.set(generationId, body);
      act(actions.asked, { generationId, content });
      act(actions.refused, { generationId, problem: { status: 0, code: 'network', detail: '' } });
      return '';
    }
    arrived(generationId, content);
    return answer.conversationId;
  }

  /** The stream may tell of a question before its POST is answered, or where that was another page's. */
  function noteArrival(generationId) {
    const question = questionOf(generationId);
    if (question?.sending === 'sent') arrived(generationId, question.content);
  }

  function arrived(generationId, content) {
    forget(generationId);
    onAccepted(content);
  }

  function forget(generationId) {
    bodies.delete(generationId);
    if (storage.getJSON('unsent')?.generationId === generationId) storage.setJSON('unsent', null, { tabOnly: true });
  }

  /** A new question. `again`, `from`: whose place it takes, see actions.asked. */
  function ask(content, place = {}) {
    const generationId = newUUID();
    act(actions.asked, { generationId, content, ...place });
    const { conversationId } = store.state;
    const question = isStored(place) ? { message: content } : { messages: told(generationId) };
    void post(generationId, content, conversationId ? { conversationId, ...question } : question);
    sync.reconnect(); // who asks wants to read: a stream that was given up, or waits, is needed now
  }

  /** Whether what the question goes on from is what the server has stored; else it is told all that is on the screen. */
  function isStored({ from = '' }) {
    const { conversationId, turns } = store.state;
    if (context() || from) return false;
    if (!conversationId) return turns.filter(({ kind }) => kind === 'question').length === 1;
    return turns.every(({ replaced = [] }) => !replaced.length);
  }

  function told(generationId) {
    const said = actions.history(store.state, generationId);
    return context() ? [{ role: 'system', content: context() }, ...said] : said;
  }

  async function post(generationId, content, body) {
    bodies.set(generationId, body);
    storage.setJSON('unsent', { generationId, content, body }, { tabOnly: true });
    storage.setJSON('since', { [generationId]: null });
    try {
      act(actions.accepted, { generationId, ...(await api.ask({ ...body, generationId })) });
    } catch (error) {
      onlyFailedCalls(error);
      const { status, code, detail, requestId } = error;
      act(actions.refused, { generationId, problem: { status, code, detail, requestId } });
      if (!findAnswer(store.state, generationId)) {
        stops.delete(generationId);
        return;
      }
    }
    // A change of the state has noted it, unless the reader has left the question, or this chat.
    if (bodies.has(generationId)) arrived(generationId, content);
    if (stops.delete(generationId)) await stopOne(generationId);
  }

  async function stopOne(generationId) {
    try {
      await api.stop(generationId);
    } catch {
      act(actions.stopping, { generationId, stopping: false });
      onTrouble('stop.failed');
    }
  }

  function unsentLike(content) {
    const last = store.state.turns.findLast((turn) => turn.kind === 'question');
    return last?.sending === 'failed' && last.content === content ? last : null;
  }

  const questionOf = (generationId) => store.state.turns.find((turn) => turn.key === `${generationId}?`);

  const chat = {
    start: () => sync.open(),

    /** Sends a question. Gives '' or why not, a key of the texts. The same text as one not sent is sent again. */
    send(text) {
      const content = text.trim();
      if (store.state.loading) return 'ask.loading';
      if (runningAnswers(store.state).length) return 'ask.wait';
      const unsent = unsentLike(content);
      if (unsent) chat.sendAgain(unsent.generationId);
      else ask(content);
      return '';
    },

    /** The same POST with the same id, unless the server has said that this one can never work. */
    sendAgain(generationId) {
      const { content, problem } = questionOf(generationId);
      const body = bodies.get(generationId);
      if (!body || problem.status === 404 || problem.status === 409) {
        forget(generationId);
        ask(content, { again: generationId });
        return;
      }
      act(actions.asked, { generationId, content, again: generationId });
      void post(generationId, content, body);
    },

    /** Gives up a question that was not sent. */
    discard(generationId) {
      forget(generationId);
      act(actions.discarded, { generationId });
    },

    /** Asks for an answer once more, in the place of the one there is. */
    retry(generationId) {
      const question = questionOf(generationId);
      if (!question || runningAnswers(store.state).length) return;
      ask(question.content, { from: generationId });
    },

    /** Puts a question in the place of an earlier one and of all that follows it. Gives '' or why not. */
    edit(generationId, text) {
      if (store.state.loading) return 'ask.loading';
      if (runningAnswers(store.state).length) return 'ask.wait';
      const question = questionOf(generationId);
      if (!question) return 'edit.gone';
      forget(generationId);
      ask(text.trim(), question.sending === 'failed' ? { again: generationId } : { from: generationId });
      return '';
    },

    stop() {
      for (const { generationId, stopping } of runningAnswers(store.state)) {
        if (stopping) continue;
        act(actions.stopping, { generationId });
        if (questionOf(generationId)?.sending === 'sending') stops.add(generationId);
        else void stopOne(generationId);
      }
    },

    /** Leaves the conversation; what runs in it goes on, on the server and in other tabs. */
    newChat: () => act(actions.left),

    dismiss: (key) => act(actions.dismissed, { key }),

    reconnect: () => sync.reconnect(),

    /** Leaves the server and the storage alone from now on; an answer that runs goes on. */
    close() {
      isClosed = true;
      sync.close();
    },

    get state() { return store.state; },

    answer: (generationId) => findAnswer(store.state, generationId),
  };
  return chat;
}
