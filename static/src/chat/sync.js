/**
 * Keeps the state in step with the server: loads what there is, listens from there on, asks for what was missed.
 * Touches no DOM; the calls, the stream, the storage are handed in. Used by chat.js.
 */

import { wait } from '../client/backoff.js';
import { CLOSED } from '../client/source.js';
import * as actions from './actions.js';
import { CallFailed } from './api.js';
import { isLine } from './lines.js';
import { hasNeeds, needing, receive } from './state.js';
import { isId } from './storage.js';

const REFUSALS = new Set([401, 403]); // who is refused is so again in a second
const AGAIN = 3_000; // ms until a question to the server that failed is put once more

/**
 * openSource(options): newEventSource or the like; `stream`: what it is given beside what is decided here, such as
 * `clientId`. diagnose(): resolves to a better reason than "no answer", or to ''. `findUnsent`: resolves to the conversation that a question whose
 * reply was never seen has gone to, or ''. onGone(): the conversation this browser remembers is no more.
 */
export function createSync({ store, api, stream, storage, openSource, findUnsent, onGone, diagnose }) {
  const { act, become } = store;
  let source = null;
  let isAsking = false; // one round of questions at a time
  let failures = 0;
  let timer = 0; // of the next attempt to load, or of the next round
  let isOver = false; // nobody listens any more
  let wasOpen = false;
  let place = ''; // of the last event that has one of its own

  /** Loads what there is, then opens the stream where the loaded text ends; `resume` false: where the server thinks. */
  async function open({ resume = true } = {}) {
    clearTimeout(timer);
    act(actions.linked, { status: { state: 'connecting', retryInMs: null } });
    try {
      const cursor = await load();
      if (isOver) return;
      failures = 0;
      listen(resume ? cursor : '');
    } catch (error) {
      onlyFailedCalls(error);
      if (REFUSALS.has(error.status)) return closed(`http_${error.status}`);
      const reason = error.status === 0 ? await diagnose() : '';
      if (isOver) return;
      const retryInMs = wait({ failures: failures++ });
      act(actions.linked, { status: { state: 'waiting', retryInMs, reason } });
      timer = setTimeout(() => open({ resume }), retryInMs);
    }
  }

  async function load() {
    isAsking = true;
    try {
      const id = (await findUnsent()) || storage.get('conversation');
      act(actions.recalled, { lines: storage.getJSON('lines') });
      if (isId(id)) await loadConversation(id);
      act(actions.ready);
      return await settle();
    } finally {
      isAsking = false;
    }
  }

  async function loadConversation(id) {
    const conversation = await orMissing(api.conversation(id));
    if (conversation) act(actions.loaded, { conversation, since: storage.getJSON('since') ?? {} });
    else if (!store.state.turns.every(isLine)) act(actions.missing, { conversation: true });
    else onGone();
  }

  async function loadAnswer(generationId) {
    const answer = await orMissing(api.answer(generationId));
    if (answer) act(actions.answered, { answer: { ...answer, generationId } });
    else act(actions.missing, { generationId });
    return answer?.lastEventId ?? '';
  }

  /** Asks until nothing is open. Gives the first cursor met: later texts are newer than it, `seq` says by how much. */
  async function settle() {
    let cursor = '';
    while (hasNeeds(store.state)) {
      const { conversationId, needs } = store.state;
      act(actions.taken);
      if (needs.conversation && conversationId) await loadConversation(conversationId);
      for (const id of needs.answers) {
        const after = await loadAnswer(id);
        cursor ||= after;
      }
    }
    return cursor;
  }

  function listen(lastEventId) {
    source?.close();
    place = lastEventId;
    source = openSource({
      ...stream, url: api.streamURL, lastEventId, onMessage: hear,
      onError: ({ fatal, status }) => { if (fatal) closed(`http_${status}`); },
      // `asked` is this page's own doing, and of `fatal` onError knows more.
      onStatus: (status) => {
        if (!['asked', 'fatal'].includes(status.reason)) act(actions.linked, { status });
        void explain(status);
      },
    });
  }

  /** A stream that never stood may never stand: then there is more to say than that it is tried again. */
  async function explain({ state }) {
    wasOpen ||= state === 'open';
    if (wasOpen || state !== 'waiting' || store.state.link.reason) return;
    const reason = await diagnose();
    const { link } = store.state;
    if (reason && !isOver && link.state !== 'open') act(actions.linked, { status: { state: link.state, retryInMs: null, reason } });
  }

  function closed(reason) {
    act(actions.linked, { status: { state: 'closed', retryInMs: null, reason } });
  }

  function hear({ data, lastEventId }) {
    const own = lastEventId === place ? '' : lastEventId; // one without an id is told with that of the one before it
    place = lastEventId;
    try {
      const event = data === '[DONE]' ? { type: data } : { ...JSON.parse(data), place: own };
      become(receive(store.state, event, store.now()));
    } catch (error) {
      // One event that this page cannot read must not take the next ones with it.
      console.warn('deltahub: an event could not be read', error);
    }
  }

  return {
    open,

    /** Asks the server for what the stream could not tell, if there is anything. */
    async attend() {
      const { loading, needs } = store.state;
      if (isAsking || loading || !hasNeeds(store.state)) return;
      isAsking = true;
      try {
        await settle();
      } catch (error) {
        onlyFailedCalls(error);
        clearTimeout(timer);
        timer = setTimeout(() => become(needing(store.state, needs)), AGAIN);
      } finally {
        isAsking = false;
      }
    },

    close() {
      isOver = true;
      clearTimeout(timer);
      source?.close();
    },

    /** Does not wait for the next attempt. A stream that was ended for good is begun anew, without its cursor. */
    reconnect() {
      if (source && source.readyState !== CLOSED) source.reconnect();
      else if (!isAsking) void open({ resume: !source });
    },
  };
}

/** What the call gives, or null where the server knows no such thing. */
export async function orMissing(call) {
  try {
    return await call;
  } catch (error) {
    if (error instanceof CallFailed && error.status === 404) return null;
    throw error;
  }
}

/** A call that failed is the network's or the server's doing; anything else is a fault of the page, and must show. */
export function onlyFailedCalls(error) {
  if (!(error instanceof CallFailed)) throw error;
}
