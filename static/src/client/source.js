/**
 * One event stream kept alive over fetch: an EventSource that can send headers, tells the status and notices silence.
 * Touches the network, the clock and the page's visibility, all of which can be handed in. It only ever sends GET.
 *
 *     const source = newEventSource({ clientId, headers, onMessage, onError, onOpen });
 *     source.close();
 */

import { BOUNDS, retryAfter, verdict, wait } from './backoff.js';
import { createParser } from './parser.js';

export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSED = 2;

/** Bytes that arrived while the page slept get this long to be read before the stream is taken for dead. */
const WAKE_GRACE = 2_000;
const WAKERS = ['pageshow', 'online'];

/**
 * Opens a stream and returns its `Source`.
 *
 * clientId            whose events to read; left out, the server issues one
 * headers             sent with each request, or a function that gives them
 * onMessage(event)    {data, lastEventId}: `data` is the text of one event, also the literal `[DONE]`
 * onError(event)      {status, statusText, headers, fatal, willRetry, retryInMs, error}; status 0: no answer
 * onOpen(event)       the head has come
 * onStatus(status)    {state: 'connecting' | 'open' | 'waiting' | 'closed', retryInMs, reason}
 * url                 where the stream is, by default `sse/createConnect` beside the page
 * lastEventId         the cursor to start after; later ones are taken from the stream
 * heartbeatTimeout    ms without a byte after which the stream is taken for dead (0: never)
 * closeOnDone         close after `[DONE]`, and ask the server to (default)
 * retry               {min, max} of the waits that the server does not prescribe
 * fetch, signal       in the place of the global one; closes the source when aborted
 */
export function newEventSource(options = {}) {
  return new Source(options);
}

/** What `newEventSource` returns. Also dispatches `open`, `error`, `message` and named events to listeners. */
class Source extends EventTarget {
  #options;
  #state = CONNECTING;
  #url;
  #lastEventId;
  #asked = null; // what `retry:` said
  #failures = 0;
  #attempt = null; // the AbortController of the request that runs
  #timer = 0; // of the next attempt, or of the watchdog: never both at once
  #heardAt = 0;
  #wake = () => this.#onWake();

  constructor(options) {
    super();
    const { onMessage, onError, onOpen, onStatus, signal } = options;
    this.#options = {
      heartbeatTimeout: 60_000, closeOnDone: true, headers: {}, ...options,
      retry: { ...BOUNDS, ...options.retry },
      fetch: options.fetch ?? ((...request) => globalThis.fetch(...request)),
    };
    this.#url = address(this.#options);
    this.#lastEventId = options.lastEventId ?? '';
    // As listeners, so that one that throws is reported and does not look like a broken link.
    if (onMessage) this.addEventListener('message', onMessage);
    if (onError) this.addEventListener('error', onError);
    if (onOpen) this.addEventListener('open', onOpen);
    if (onStatus) this.addEventListener('status', (event) => onStatus(event.detail));
    for (const name of WAKERS) globalThis.addEventListener?.(name, this.#wake);
    globalThis.document?.addEventListener('visibilitychange', this.#wake);
    signal?.addEventListener('abort', () => this.close(), { once: true });
    if (signal?.aborted) this.close();
    // A turn later, so that the one who opened it can add listeners first.
    else queueMicrotask(() => this.#connect());
  }

  get readyState() { return this.#state; }
  get url() { return this.#url; }
  get lastEventId() { return this.#lastEventId; }

  /** Ends the stream for good; safe to call again. */
  close(reason = 'asked') {
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    clearTimeout(this.#timer);
    this.#attempt?.abort();
    this.#attempt = null; // what is still in the pipe is delivered to nobody
    for (const name of WAKERS) globalThis.removeEventListener?.(name, this.#wake);
    globalThis.document?.removeEventListener('visibilitychange', this.#wake);
    this.#say('closed', { reason });
  }

  /** Does not wait for the next attempt but makes it now. */
  reconnect() {
    if (this.#state === CONNECTING && !this.#attempt) this.#connect();
  }

  async #connect() {
    if (this.#state === CLOSED) return;
    const attempt = (this.#attempt = new AbortController());
    const known = { status: 0, statusText: '', headers: null };
    const { fetch } = this.#options;
    this.#state = CONNECTING;
    this.#say('connecting');
    this.#heard();
    try {
      const response = await fetch(this.#url, this.#request(attempt.signal));
      known.status = response.status;
      known.statusText = response.statusText;
      known.headers = response.headers;
      if (this.#admit(response, known)) await this.#read(response.body, attempt);
      throw new Error('the stream ended');
    } catch (error) {
      // Whatever breaks a link is called differently by each browser: it is a lost link all the same.
      if (this.#attempt === attempt) this.#lost(known, error);
    }
  }

  #request(signal) {
    const given = this.#options.headers;
    const headers = new Headers(typeof given === 'function' ? given() : given);
    headers.set('Accept', 'text/event-stream');
    if (this.#lastEventId) headers.set('Last-Event-ID', asHeader(this.#lastEventId));
    return { headers, signal, cache: 'no-store' };
  }

  /** Whether the head is that of a stream; otherwise throws, or closes where there is to be none. */
  #admit(response, known) {
    const meaning = verdict(response.status);
    if (meaning === 'stop') {
      this.close('stopped');
      return false;
    }
    // [spec] Anything but text/event-stream fails for good: a log-in page does not become a stream by asking again.
    const isStream = /^text\/event-stream\s*(;|$)/i.test(response.headers.get('content-type') ?? '');
    known.fatal = meaning === 'fatal' || (meaning === 'open' && !isStream);
    if (meaning === 'open' && isStream) {
      this.#state = OPEN;
      this.dispatchEvent(Object.assign(new Event('open'), known));
      this.#say('open');
      return true;
    }
    response.body?.cancel().catch(() => {});
    throw new Error(isStream ? `status ${response.status}` : `status ${response.status}, and not an event stream`);
  }

  async #read(body, attempt) {
    const parser = createParser({
      lastEventId: this.#lastEventId,
      onRetry: (ms) => { this.#asked = ms; },
      onEvent: (event) => { if (this.#attempt === attempt) this.#deliver(event); },
    });
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.#attempt !== attempt) return;
      this.#heard();
      parser.feed(value);
      if (this.#attempt === attempt) this.#lastEventId = parser.lastEventId;
    }
  }

  #deliver({ type, data, lastEventId }) {
    this.#failures = 0;
    // Kept before it is delivered: who reads source.lastEventId while handling an event means that event.
    this.#lastEventId = lastEventId;
    this.dispatchEvent(new MessageEvent(type, { data, lastEventId }));
    if (type !== 'message') return;
    if (data === '[DONE]' && this.#options.closeOnDone) this.close('done');
    else if (saysGoodbye(data)) this.close('dismissed');
  }

  /** The link is gone, or never was: say so, and come back unless it is of no use. */
  #lost(known, error) {
    this.#attempt.abort();
    this.#attempt = null;
    if (this.#state === CLOSED) return;
    const fatal = Boolean(known.fatal) || error instanceof RangeError;
    const retryInMs = fatal ? null : this.#nextWait(known);
    this.#state = CONNECTING;
    this.dispatchEvent(Object.assign(new Event('error'), { ...known, fatal, willRetry: !fatal, retryInMs, error }));
    if (this.#state === CLOSED) return; // by a listener
    if (fatal) {
      this.close('fatal');
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), retryInMs);
    this.#say('waiting', { retryInMs });
  }

  #nextWait(known) {
    const ms = wait({
      failures: this.#failures, asked: this.#asked, bounds: this.#options.retry,
      atLeast: retryAfter(known.headers?.get('retry-after')),
    });
    this.#failures += 1;
    return ms;
  }

  /** Any byte counts as a sign of life, a comment too. */
  #heard() {
    this.#heardAt = Date.now();
    this.#watch(this.#options.heartbeatTimeout);
  }

  #watch(ms) {
    clearTimeout(this.#timer);
    if (this.#options.heartbeatTimeout) this.#timer = setTimeout(() => this.#onSilence(), ms);
  }

  #onSilence() {
    // Timers of a hidden page are throttled and its network may be frozen: silence proves nothing there.
    if (!globalThis.document?.hidden) this.#attempt?.abort(new Error('no byte for too long'));
  }

  #onWake() {
    if (globalThis.document?.hidden) return;
    if (!this.#attempt) this.reconnect();
    else if (this.#options.heartbeatTimeout) {
      const left = this.#options.heartbeatTimeout - (Date.now() - this.#heardAt);
      this.#watch(Math.max(left, WAKE_GRACE));
    }
  }

  #say(state, more = {}) {
    this.dispatchEvent(new CustomEvent('status', { detail: { state, retryInMs: null, reason: '', ...more } }));
  }
}

function address({ url = 'sse/createConnect', clientId, lastEventId, closeOnDone }) {
  const full = new URL(url, globalThis.document?.baseURI);
  if (clientId) full.searchParams.set('clientId', clientId);
  if (!closeOnDone) full.searchParams.set('closeOnDone', 'false');
  if (lastEventId) full.searchParams.set('lastEventId', lastEventId);
  return full.href;
}

/** [spec] The id is sent as UTF-8; a header of fetch takes bytes, one character each. */
function asHeader(id) {
  return String.fromCharCode(...new TextEncoder().encode(id));
}

/** Whether the server ended this stream for good: `closing` with `reconnect: false`. */
function saysGoodbye(data) {
  if (!data.includes('"closing"')) return false; // most events: no second parse
  try {
    const event = JSON.parse(data);
    return event?.type === 'closing' && event.reconnect === false;
  } catch {
    return false;
  }
}
